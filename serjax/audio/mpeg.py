"""Frames of MP3 files, counted: decoders guess the length of those whose first frame does not say it."""

import mmap
from pathlib import Path
from typing import NamedTuple

_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""Hz, by the two bits of the version: MPEG 1, 2 and 2.5."""
_KBITS = {
    (True, 1): tuple(range(32, 449, 32)),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""kbit/s by MPEG 1 or not (2 and 2.5), and the layer."""
_ENDS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3")
"""Beginnings of tags that may stand behind the frames."""
_SEARCH = 1 << 20
"""Bytes of zeros or of something else that may stand before the first frame."""
_TAIL = 1 << 13
"""Bytes behind the last frame from which on they stand where frames were, if no count says that all are there."""


class Frames(NamedTuple):
    """Counts of a file of MPEG audio.

    Attributes:
        rate: in Hz.
        size: samples of a frame.
        number: whole frames of sound.
        said: how many the first frame says that there are (Xing, Info or VBRI); None where it does not.
        gap: seconds that bytes between frames would last, which are none.
        begins: whether the first frame stands where the file, or its tag, begins.
        partial: whether the last frame breaks off.
        mixed: whether frames of another rate or layer follow, as where files were joined.
    """

    rate: int
    size: int
    number: int
    said: int | None
    gap: float
    begins: bool
    partial: bool
    mixed: bool = False

    @property
    def seconds(self) -> float:
        """Length of the whole frames."""
        return self.number * self.size / self.rate

    @property
    def missing(self) -> float:
        """Seconds of frames that the first one promises and that are not there; a counted header is no loss."""
        short = 0 if self.said is None else self.said - self.number
        return max(0.0, short * self.size / self.rate - self.gap) if short > 1 else 0.0

    @property
    def clean(self) -> bool:
        """True where every byte is accounted for, and the first frame does not count too few."""
        more = self.said is not None and self.number > self.said + 1
        return self.begins and not (self.partial or self.gap or self.missing or self.mixed or more)


class _Header(NamedTuple):
    length: int
    rate: int
    size: int
    kbits: int
    side: int
    layer: int

    def like(self, other: "_Header | None") -> bool:
        """Return whether two frames may be of one file."""
        return other is not None and (self.rate, self.layer) == (other.rate, other.layer)


def count_frames(path: Path) -> Frames | None:
    """Return what a file of MPEG audio holds, of any layer; None where there are no two frames of it in a row.

    After ISO/IEC 11172-3 (1993) and 13818-3; the first frame's count as LAME's and Fraunhofer's encoders write it.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = _behind_tags(data)
        place = _next_frame(data, start, start + _SEARCH)
        return None if place is None else _count(data, place, begins=place == start)


def _count(data: mmap.mmap, place: int, *, begins: bool) -> Frames:
    first = _header(data, place)
    assert first is not None
    said = _said(data, place, first)
    count, partial, mixed, skipped, sound = 0, False, False, 0, 0
    if said is not None:
        place += first.length
    while place < len(data):
        head = _header(data, place)
        if head is not None and first.like(head):
            if place + head.length > len(data):
                partial = True
                break
            count, sound, place = count + 1, sound + head.length, place + head.length
            continue
        if data[place : place + 11].startswith(_ENDS):
            after = _behind_tags(data, place)
            if after == place:
                break
            place = after
            continue
        found = _next_frame(data, place, len(data), first)
        if found is None:
            mixed = _next_frame(data, place, len(data)) is not None
            partial = said is None and _is_long(data, place)
            break
        skipped, place = skipped + found - place, found
    seconds = count * first.size / first.rate
    gap = skipped / sound * seconds if sound else 0.0
    return Frames(first.rate, first.size, count, said, gap, begins, partial, mixed)


def _is_long(data: mmap.mmap, place: int) -> bool:
    """Return whether so much stands behind the last frame that frames must have been there; tags are none of it."""
    ends = [data.find(tag, place) for tag in _ENDS]
    return min((end for end in ends if end >= 0), default=len(data)) - place > _TAIL


def _behind_tags(data: mmap.mmap, place: int = 0) -> int:
    """Return the place behind ID3v2 tags."""
    while data[place : place + 3] == b"ID3" and place + 10 <= len(data):
        size = 0
        for byte in data[place + 6 : place + 10]:
            size = size << 7 | byte & 0x7F
        place += 10 + size + (10 if data[place + 5] & 0x10 else 0)
    return place


def _next_frame(data: mmap.mmap, place: int, end: int, like: _Header | None = None) -> int | None:
    """Return the place of the next header that another one follows or, of one `like` the first, the file's end."""
    while (place := data.find(b"\xff", place, end)) >= 0:
        head = _header(data, place)
        if head is not None and (like is None or like.like(head)):
            after = place + head.length
            following = _header(data, after)
            if head.like(following) or (like is not None and after == len(data)):
                return place
        place += 1
    return None


def _header(data: mmap.mmap, place: int) -> _Header | None:
    """Return what a frame's four bytes say; None where they are none of a frame with a known rate."""
    four = data[place : place + 4]
    if len(four) < 4 or four[0] != 0xFF or four[1] & 0xE0 != 0xE0:
        return None
    layer = 4 - (four[1] >> 1 & 3)
    version, bits, rate = four[1] >> 3 & 3, four[2] >> 4, four[2] >> 2 & 3
    if layer == 4 or version == 1 or bits in (0, 15) or rate == 3:
        return None
    new = version == 3
    kbits, hertz, mono = _KBITS[new, layer][bits - 1], _RATES[version][rate], four[3] >> 6 == 3
    size = 384 if layer == 1 else 1152 if new or layer == 2 else 576
    slot = 4 if layer == 1 else 1
    side = (17 if mono else 32) if new else (9 if mono else 17)
    slots = size // 8 * kbits * 1000 // hertz // slot + (four[2] >> 1 & 1)
    return _Header(slots * slot, hertz, size, kbits, side, layer)


def _said(data: mmap.mmap, place: int, head: _Header) -> int | None:
    """Return the number of frames that the first one gives."""
    xing = place + 4 + head.side
    if data[xing : xing + 4] in (b"Xing", b"Info"):
        counted = data[xing + 7] & 1 if xing + 12 <= len(data) else 0
        return int.from_bytes(data[xing + 8 : xing + 12], "big") if counted else None
    if data[place + 36 : place + 40] == b"VBRI":
        return int.from_bytes(data[place + 50 : place + 54], "big")
    return None
