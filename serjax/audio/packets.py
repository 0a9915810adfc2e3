"""Pages and frames of streams without a length in front: whether the last one is whole, and whether streams follow."""

import mmap
from collections.abc import Iterator
from pathlib import Path

_AMR = {
    b"#!AMR\n": (13, 14, 16, 18, 20, 21, 27, 32, 6, 6, 6, 6, 1, 1, 1, 1),
    b"#!AMR-WB\n": (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 6, 6, 6, 6, 1, 1),
}
"""Bytes of a frame by the four bits of its type (RFC 4867), behind what begins the file."""


def breaks_off(path: Path) -> bool:
    """Return whether the last page of an Ogg file (RFC 3533), or frame of an AAC (ADTS), AMR or TS file, is not whole.

    Nothing says how long such files were. Of other files it is False.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        if not file.read(1):
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[:4] == b"OggS":
                last = data.rfind(b"OggS")
                return _page(data, last) > len(data)
            if data[:2] in (b"\xff\xf1", b"\xff\xf9"):
                return _adts(data)
            if data[:1] == b"G" and data[188:189] == b"G":  # packets of a transport stream, which have 188 bytes
                return len(data) % 188 > 0
            start = next((magic for magic in _AMR if data[: len(magic)] == magic), None)
            return start is not None and _amr(data, len(start), _AMR[start])


def is_chained(path: Path) -> bool:
    """Return whether streams follow each other in an Ogg file: libsndfile reads the first one alone.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        inside = False
        for place in _pages(data):
            begins = bool(data[place + 5] & 2)
            if begins and inside:
                return True
            inside |= not begins
    return False


def _pages(data: mmap.mmap) -> Iterator[int]:
    place = data.find(b"OggS")
    while 0 <= place <= len(data) - 27:
        yield place
        place = data.find(b"OggS", min(len(data), max(place + 4, _page(data, place))))


def _page(data: mmap.mmap, place: int) -> int:
    """Return where the page at a place ends, or would end."""
    if len(data) < place + 27:
        return len(data) + 1
    count = data[place + 26]
    table = data[place + 27 : place + 27 + count]
    return place + 27 + count + sum(table) + (len(table) < count)


def _adts(data: mmap.mmap) -> bool:
    place = 0
    while place + 7 <= len(data) and data[place] == 0xFF and data[place + 1] & 0xF6 == 0xF0:
        size = (data[place + 3] & 3) << 11 | data[place + 4] << 3 | data[place + 5] >> 5
        if size < 7:
            return False
        place += size
    # Behind frames another thing may stand, but not the beginning of one.
    return place > len(data) or (0 < len(data) - place < 7 and data[place] == 0xFF)


def _amr(data: mmap.mmap, place: int, sizes: tuple[int, ...]) -> bool:
    while place < len(data):
        place += sizes[data[place] >> 3 & 15]
    return place > len(data)
