"""WAV files that break off: libsndfile reads what is there and says nothing."""

import os
import struct
from pathlib import Path

from serjax.runtime.remote import as_path, is_remote

_UNKNOWN = 0x7FFFF000
"""Sizes from here on are no promise: programs that write to a pipe give the largest number that fits."""


def missing_seconds(path: str | Path) -> float:
    """Return the seconds by which a WAV file ends before its header says; 0 for whole files, others and URLs.

    The layout is that of Microsoft's and IBM's Multimedia Programming Interface (1991): chunks of a name, a size and
    that many bytes, of which `fmt ` gives the bytes a second and `data` holds the samples.

    Raises:
        OSError: the file cannot be read.
    """
    path = as_path(path)
    if path.suffix.lower() not in (".wav", ".wave") or is_remote(path):
        return 0.0  # a look at a URL would be one more request for each clip
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] not in (b"RIFF", b"RIFX") or head[8:] != b"WAVE":
            return 0.0
        order, per_second = "<" if head[:4] == b"RIFF" else ">", 0
        while len(chunk := file.read(8)) == 8:
            name, size = chunk[:4], struct.unpack(order + "I", chunk[4:])[0]
            if name == b"data":
                here = file.tell()
                missing = here + size - file.seek(0, os.SEEK_END)
                return max(0, missing) / per_second if per_second and size < _UNKNOWN else 0.0
            if name == b"fmt " and size >= 16:
                per_second = struct.unpack(order + "I", file.read(12)[8:12].ljust(4, b"\0"))[0]
                size -= 12
            file.seek(size + (size & 1), os.SEEK_CUR)  # chunks begin at even places
    return 0.0
