"""Sound behind the samples that the header of a FLAC file counts: joined files, and counts that are too small."""

import mmap
from pathlib import Path

_HEADER = b"fLaC\0\0\0\x22"
"""Beginning of a file: its mark, and the STREAMINFO block of 34 bytes."""
_SEARCH = 1 << 18
"""Bytes at the end in which the last frame is looked for; a frame may have so many."""


def behind_flac(path: Path, counted: int, rate: int) -> float:
    """Return the seconds that a FLAC file (RFC 9639) holds behind its first `counted` samples.

    Those of a second file that was put behind the first are told by its share of the bytes.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = data.find(_HEADER[:4])
        if start < 0 or len(data) < start + 42:
            return 0.0
        other = data.find(_HEADER, start + 4)
        if other > 0:
            return (len(data) - other) / (other - start) * counted / rate
        least, most = (int.from_bytes(data[start + place : start + place + 2], "big") for place in (8, 10))
        end = _end_of_last(data, least if least == most else None)
    return max(0, end - counted) / rate


def _end_of_last(data: mmap.mmap, fixed: int | None) -> int:
    """Return the sample at which the last frame ends, by its header; 0 where none is found.

    Args:
        data: the file.
        fixed: samples of a frame where all have as many, so that frames are counted, not samples.
    """
    place = len(data)
    while (place := data.rfind(b"\xff", max(0, len(data) - _SEARCH), place)) >= 0:
        head = data[place : place + 16]
        if len(head) < 6 or head[1] & 0xFE != 0xF8 or head[2] >> 4 == 0 or head[2] & 15 == 15 or head[3] & 1:
            continue
        coded = _number(head[4:11])
        if coded is None:
            continue
        number, used = coded
        size, kind = 4 + used, head[2] >> 4
        block = 192 if kind == 1 else 576 << kind - 2 if kind < 6 else 256 << max(0, kind - 8)
        if kind in (6, 7):
            block = int.from_bytes(head[size : size + kind - 5], "big") + 1
            size += kind - 5
        size += {12: 1, 13: 2, 14: 2}.get(head[2] & 15, 0)
        if size < len(head) and _crc(head[:size]) == head[size]:
            counts_frames = not head[1] & 1
            return (number * (fixed or block) if counts_frames else number) + block
    return 0


def _number(code: bytes) -> tuple[int, int] | None:
    """Return a number written as UTF-8 writes them, of up to 36 bits, and its bytes; None where it is none."""
    first = code[0]
    if first < 0x80:
        return first, 1
    more = next((n for n in range(1, 7) if first >> (6 - n) == (1 << n + 2) - 2), None)
    if more is None or len(code) <= more or any(byte >> 6 != 2 for byte in code[1 : more + 1]):
        return None
    number = first & (0x3F >> more)
    for byte in code[1 : more + 1]:
        number = number << 6 | byte & 0x3F
    return number, more + 1


def _crc(head: bytes) -> int:
    """Return the checksum of a frame's header: 8 bits, polynomial x^8 + x^2 + x + 1."""
    found = 0
    for byte in head:
        found ^= byte
        for _ in range(8):
            found = (found << 1 ^ 7) & 0xFF if found & 0x80 else found << 1
    return found
