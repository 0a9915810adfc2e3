"""Bytes of samples that headers promise: of files that break off libsndfile reads what is there and says nothing."""

import contextlib
import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

_UNKNOWN = 0x7FFFF000
"""Sizes from here on, of 32 bits, are no promise: programs that write to a pipe give the largest number that fits."""


_ABSURD = 1 << 56
"""Sizes from here on, of 64 bits, are no promise either."""

_HEARD = 0.025
"""Seconds behind the end of a file from which on they are told."""

_TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN")
"""Beginnings of tags that programs put behind any file."""

_CHUNKS = re.compile(rb"LIST|INFO|JUNK|PAD |FLLR|bext|fact|PEAK|cue |plst|smpl|inst|iXML|_PMX|id3 |ID3 |afsp|DISP|AFAn")
"""Chunks that may lie behind the samples, told where they are not whole."""


class Promise(NamedTuple):
    """Place of the samples of a file.

    Attributes:
        start: byte at which they begin.
        size: how many bytes of them the header promises.
        there: bytes from `start` to the end of the file.
        second: bytes a second, as the header gives them; 0 where it does not.
        behind: bytes behind them that are no chunk, no tag and not all zero: more samples, which the header leaves out.
    """

    start: int
    size: int
    there: int
    second: int = 0
    behind: int = 0

    @property
    def missing(self) -> int:
        """Bytes that are promised and are not there."""
        return max(0, self.size - self.there)

    def lost(self, seconds: float) -> float:
        """Return the seconds that are missing of a file of which so many decode; 0 where nobody knows."""
        if not self.missing or not self.there:
            return 0.0
        by_share = self.missing / self.there * seconds
        # Blocks of compressed samples that are not whole do not decode; the header may lie about its rate, too.
        by_rate = self.size / self.second - seconds if self.second else by_share
        return by_rate if by_share / 2 < by_rate < 2 * by_share else by_share

    def more(self, seconds: float) -> float:
        """Return the seconds of samples behind the end of a file that counts so many; 0 of what none hears."""
        if not self.behind or not self.size:
            return 0.0
        found = self.behind / self.size * seconds
        return found if found >= _HEARD else 0.0

    @property
    def uncounted(self) -> bool:
        """True where no byte is promised but some are there: a recorder never came back to its header."""
        return self.size == 0 and self.there > 1


def promise(path: Path) -> Promise | None:
    """Return what the header of a file of fixed bytes a second promises; None where it does not say, or is of another.

    RIFF is after Microsoft's and IBM's Multimedia Programming Interface (1991), RF64 after EBU Tech 3306, Wave64 after
    Sony's specification, AIFF after Apple's of 1989, CAF after Apple's of 2006, AU after Sun's, SPHERE after NIST's,
    VOC after Creative's and AVR after Audio Visual Research's. PAF and IRCAM files do not say how long they are.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return promise_in(file)


def promise_in(file: BinaryIO) -> Promise | None:
    """Return what `promise` does, of an open file, which afterwards stands at its beginning.

    Raises:
        OSError: the file cannot be read.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(32)
    found = None
    for magic, place, read in _READERS:
        if head.startswith(magic, place):
            with contextlib.suppress(struct.error, ValueError, OverflowError, OSError):
                found = read(file, size)
            break
    file.seek(0)
    if found is None:
        return None
    start, promised, *more = found
    return None if promised >= _ABSURD else Promise(start, promised, max(0, size - start), *more)


def _riff(file: BinaryIO, end: int) -> tuple[int, ...] | None:
    file.seek(0)
    order, long = ">" if file.read(12)[:4] == b"RIFX" else "<", None
    second = 0
    while len(chunk := file.read(8)) == 8:
        name, size = chunk[:4], struct.unpack(order + "I", chunk[4:])[0]
        here = file.tell()
        if name == b"ds64":
            long = struct.unpack("<Q", file.read(16)[8:])[0]
        if name == b"fmt " and size >= 16:
            second = struct.unpack(order + "I", file.read(12)[8:])[0]
        if name == b"data":
            if size == 0xFFFFFFFF and long is not None:
                size = long
            elif size >= _UNKNOWN:
                return None
            if size == 0 and _chunks_follow(file, end, order):
                return None
            return here, size, second, _behind(file, here + size, end, order + "I")
        file.seek(here + size + (size & 1))  # chunks begin at even places
    return None


def _behind(file: BinaryIO, place: int, end: int, size_of: str) -> int:
    """Return the bytes from a place to the end of the file that are samples: neither chunks, nor tags, nor zeros."""
    width = 4 + struct.calcsize(size_of)
    while place < end:
        place += place & 1 if size_of != ">q" else 0  # chunks begin at even places, but for those of CAF
        file.seek(place)
        head = file.read(width)
        if head.startswith(_TAGS):
            return 0
        if len(head) == width and re.fullmatch(rb"[ -~]{4}", head[:4]) and head[:4] not in (b"data", b"RIFF", b"FORM"):
            size = struct.unpack(size_of, head[4:])[0]
            if 0 <= size <= end - place - width + 1:
                place += width + size
                continue
            if _CHUNKS.match(head):
                return 0
        file.seek(place)
        while block := file.read(1 << 16):
            if any(block):
                return end - place
        return 0
    return 0


def _chunks_follow(file: BinaryIO, end: int, order: str) -> bool:
    """Return whether chunks lie between here and the end of the file, and nothing else."""
    while len(chunk := file.read(8)) == 8 and re.fullmatch(rb"[ -~]{4}", chunk[:4]):
        size = struct.unpack(order + "I", chunk[4:])[0]
        file.seek(size + (size & 1), os.SEEK_CUR)
    return not chunk and file.tell() <= end + 1


def _w64(file: BinaryIO, _end: int) -> tuple[int, ...] | None:
    place, second = 40, 0
    while True:
        file.seek(place)
        chunk = file.read(24)
        if len(chunk) < 24:
            return None
        size = struct.unpack("<Q", chunk[16:])[0]
        if chunk[:4] == b"data":
            return place + 24, max(0, size - 24), second
        if chunk[:4] == b"fmt ":
            second = struct.unpack("<I", file.read(12)[8:])[0]
        place += max(24, size + -size % 8)


def _aiff(file: BinaryIO, end: int) -> tuple[int, ...] | None:
    place = 12
    while True:
        file.seek(place)
        chunk = file.read(12)
        if len(chunk) < 12:
            return None
        size = struct.unpack(">I", chunk[4:8])[0]
        if chunk[:4] == b"SSND":
            offset = struct.unpack(">I", chunk[8:])[0]
            if size >= _UNKNOWN:
                return None
            behind = _behind(file, place + 8 + size, end, ">I")
            return place + 16 + offset, max(0, size - 8 - offset), 0, behind
        place += 8 + size + (size & 1)


def _caf(file: BinaryIO, end: int) -> tuple[int, ...] | None:
    place = 8
    while True:
        file.seek(place)
        chunk = file.read(12)
        if len(chunk) < 12:
            return None
        size = struct.unpack(">q", chunk[4:])[0]
        if chunk[:4] == b"data":
            if size < 0:
                return None
            return place + 16, max(0, size - 4), 0, _behind(file, place + 12 + size, end, ">q")
        if size < 0:
            return None
        place += 12 + size


def _au(file: BinaryIO, end: int) -> tuple[int, ...] | None:
    file.seek(0)
    order = ">" if file.read(4) == b".snd" else "<"
    start, size = struct.unpack(order + "II", file.read(8))
    return None if size >= _UNKNOWN else (start, size, 0, max(0, end - start - size))


def _sphere(file: BinaryIO, _end: int) -> tuple[int, int] | None:
    file.seek(8)
    start = int(file.read(8))
    file.seek(0)
    fields = dict(re.findall(rb"(\w+) -i (\d+)", file.read(min(start, 1 << 16))))
    if b"sample_count" not in fields or b"sample_n_bytes" not in fields:
        return None
    count, width = int(fields[b"sample_count"]), int(fields[b"sample_n_bytes"])
    return start, count * width * int(fields.get(b"channel_count", b"1"))


def _voc(file: BinaryIO, end: int) -> tuple[int, int] | None:
    file.seek(20)
    place = struct.unpack("<H", file.read(2))[0]
    while True:
        file.seek(place)
        block = file.read(4)
        if len(block) < 4:
            return None
        size = int.from_bytes(block[1:], "little")
        if block[0] in (1, 9):
            first = place + (6 if block[0] == 1 else 16)
            return first, max(0, place + 4 + size - first)
        if block[0] == 0 or place + size > end:
            return None
        place += 4 + size


def _avr(file: BinaryIO, _end: int) -> tuple[int, int] | None:
    file.seek(12)
    stereo, bits = struct.unpack(">HH", file.read(4))
    file.seek(26)
    frames = struct.unpack(">I", file.read(4))[0]
    return 128, frames * (2 if stereo else 1) * (bits // 8)


def _avi(file: BinaryIO, _end: int) -> tuple[int, int] | None:
    file.seek(4)
    size = struct.unpack("<I", file.read(4))[0]
    return None if size == 0 or size >= _UNKNOWN else (8, size)


def _asf(file: BinaryIO, _end: int) -> tuple[int, int] | None:
    """Find the file's size, which its File Properties Object holds behind an identifier of the file."""
    file.seek(0)
    head = file.read(1 << 14)
    place = head.find(b"\xa1\xdc\xab\x8cG\xa9\xcf\x11\x8e\xe4\x00\xc0\x0c Se")
    return None if place < 0 else (0, struct.unpack("<Q", head[place + 40 : place + 48])[0])


_Reader = Callable[[BinaryIO, int], tuple[int, ...] | None]

_READERS: tuple[tuple[bytes, int, _Reader], ...] = (
    (b"WAVE", 8, _riff),
    (b"riff\x2e\x91\xcf\x11", 0, _w64),
    (b"AIFF", 8, _aiff),
    (b"AIFC", 8, _aiff),
    (b"caff", 0, _caf),
    (b".snd", 0, _au),
    (b"dns.", 0, _au),
    (b"NIST_1A", 0, _sphere),
    (b"Creative Voice File", 0, _voc),
    (b"2BIT", 0, _avr),
    (b"AVI ", 8, _avi),
    (b"0&\xb2u\x8ef\xcf\x11", 0, _asf),
)
"""Bytes that tell a format, their place, and what finds the samples: the byte where they begin, their number and,
where the header gives it, the bytes a second."""
