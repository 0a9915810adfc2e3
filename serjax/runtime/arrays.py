"""Arrays in .npy files, whose header is held against the file's size before anything is allotted."""

import os
import stat
from math import prod
from pathlib import Path

import numpy as np

from serjax.runtime.errors import UserError, reason


def read_array(path: Path, *, remedy: str = "fetch it again") -> np.ndarray:
    """Read a .npy file; nothing pickled is loaded.

    Raises:
        UserError: no such file, or it is damaged, cut off, or holds objects.
    """
    try:
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise ValueError("it is no regular file")
            version = np.lib.format.read_magic(file)
            header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            if version not in header:
                raise ValueError(f"its version is {version}")
            shape, fortran, dtype = header[version](file)
            if dtype.hasobject:
                raise ValueError("it holds Python's objects")
            count, rest = prod(shape), found.st_size - file.tell()
            if min((0, *shape)) < 0 or not dtype.itemsize or count * dtype.itemsize != rest:
                raise ValueError(f"its header tells of {_shown(shape)} values of {dtype}, but {rest:,} bytes follow")
            values: np.ndarray = np.fromfile(file, dtype, count)
            return values.reshape(shape, order="F" if fortran else "C")
    # What numpy's reader of headers raises is what Python's parsers do, which is nearly anything.
    except Exception as error:
        raise UserError(f"{path}: it cannot be read as an array ({reason(error)}); {remedy}.") from None


def _shown(shape: tuple[int, ...]) -> str:
    return " x ".join(f"{size:,}" for size in shape[:4]) or "1"
