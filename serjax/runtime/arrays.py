"""Arrays in .npy and .npz files, whose headers are held against the file's size before anything is allotted."""

import os
import stat
import zipfile
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np

from serjax.runtime.errors import UserError, reason

LARGEST = 2**30
"""Bytes of an array in an archive: a compressed one can unfold to a thousand times its file."""


def read_array(path: Path, *, remedy: str = "fetch it again") -> np.ndarray:
    """Read a .npy file; nothing pickled is loaded.

    Raises:
        UserError: no such file, or it is damaged, cut off, or holds objects.
    """
    try:
        with _regular(path) as file:
            return _values(file, os.fstat(file.fileno()).st_size)
    # What numpy's reader of headers raises is what Python's parsers do, which is nearly anything.
    except Exception as error:
        raise UserError(f"{path}: it cannot be read as an array ({reason(error)}); {remedy}.") from None


def read_archive(path: Path, names: Sequence[str], *, remedy: str = "fetch it again") -> list[np.ndarray]:
    """Read arrays of an .npz archive by name; nothing pickled is loaded.

    Raises:
        UserError: no such file, it is damaged, lacks an array, or one holds objects or more than `LARGEST` bytes.
    """
    try:
        with _regular(path) as file, zipfile.ZipFile(file) as archive:
            held = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            if absent := [name for name in names if name not in held]:
                raise ValueError(f"it has no array {absent[0]}")
            arrays = []
            for name in names:
                if held[name].file_size > LARGEST:
                    raise ValueError(f"its array {name} unfolds to {held[name].file_size:,} bytes")
                with archive.open(held[name]) as member:
                    arrays.append(_values(member, held[name].file_size))
            return arrays
    # As above; a damaged zip raises what its parts do.
    except Exception as error:
        raise UserError(f"{path}: it cannot be read as an archive ({reason(error)}); {remedy}.") from None


def _regular(path: Path) -> BinaryIO:
    """Open a file to read; a pipe or a device is refused, without waiting for it."""
    opened = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise ValueError("it is no regular file")
    return os.fdopen(opened, "rb")


def _values(file: IO[bytes], size: int) -> np.ndarray:
    """Return the array of an open .npy file of `size` bytes."""
    version = np.lib.format.read_magic(file)
    header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in header:
        raise ValueError(f"its version is {version}")
    shape, fortran, dtype = header[version](file)
    if dtype.hasobject:
        raise ValueError("it holds Python's objects")
    count, rest = prod(shape), size - file.tell()
    if min((0, *shape)) < 0 or not dtype.itemsize or count * dtype.itemsize != rest:
        raise ValueError(f"its header tells of {_shown(shape)} values of {dtype}, but {rest:,} bytes follow")
    content = file.read(rest)
    if len(content) != rest:
        raise ValueError(f"it breaks off {rest - len(content):,} bytes before its end")
    values: np.ndarray = np.frombuffer(bytearray(content), dtype, count)
    return values.reshape(shape, order="F" if fortran else "C")


def _shown(shape: tuple[int, ...]) -> str:
    return " x ".join(f"{size:,}" for size in shape[:4]) or "1"
