"""Ragged arrays on disk: rows of many items in one file with an index by item, made once and resumed after a stop.

A finished array is a folder that holds NAME.npy, all rows one after the other, and index.json. Until it is finished it
stands in KEY.part beside the place it will take, with a count of the steps that are safely on the disk.
"""

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from jaxtyping import Int, Int64, Shaped

from serjax.runtime import disk
from serjax.runtime.errors import UserError
from serjax.runtime.json_files import parse_json

FORMAT = 1
"""Version of the layout: part of the index, and of the keys under which arrays are found again, so that those of
another layout are made anew and never misread."""

INDEX = "index.json"
"""File of an array that is written last."""

_ITEMS, _DONE = "items.jsonl", "done"
_PAGE = 4096
"""Bytes that a file system may hold for the header and to round up."""
_SAVE_SECONDS = 2.0
"""Steps since the last save may be lost by a kill; saving waits for the disk."""


class Ragged:
    """A finished ragged array, mapped into memory for reading.

    Attributes:
        folder: that holds it.
        rows: of all items, in the order in which they were written; a read-only view of the file.
        lengths: rows of each item.
        starts: place of each item's first row in `rows`.
        columns: further values of each item, by name.
        facts: further values of the array, by name.
    """

    folder: Path
    rows: Shaped[np.ndarray, "rows ..."]
    lengths: Int64[np.ndarray, "items"]
    starts: Int64[np.ndarray, "items"]
    columns: Mapping[str, Sequence[Any]]
    facts: Mapping[str, Any]

    def __init__(self, folder: Path, name: str = "rows") -> None:
        """Open the array `name` in a folder.

        Raises:
            OSError, ValueError, KeyError, TypeError: there is none, it is of another format, or it is damaged.
        """
        try:
            index = parse_json((folder / INDEX).read_bytes(), INDEX)
        except UserError as error:
            raise ValueError(str(error)) from None
        if index["format"] != FORMAT:
            raise ValueError(f"its format is {index['format']}, this version of serjax reads {FORMAT}")
        self.folder, self.facts, self.columns = folder, index["facts"], index["columns"]
        # A slice of a memmap costs ten times that of an array.
        self.rows = np.load(folder / f"{name}.npy", mmap_mode="r").view(np.ndarray)
        self.lengths, self.starts = np.array(index["lengths"], np.int64), np.array(index["starts"], np.int64)
        ends = self.starts + self.lengths
        if self.lengths.sum() != len(self.rows) or ends.max(initial=0) > len(self.rows):
            raise ValueError(f"its index names {self.lengths.sum()} rows, its file holds {len(self.rows)}")
        if any(len(column) != len(self) for column in (self.starts, *self.columns.values())):
            raise ValueError("columns of its index differ in length")

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, item: int) -> Shaped[np.ndarray, "n ..."]:
        """Return an item's rows: a read-only view of the file."""
        if not 0 <= item < len(self):
            raise IndexError(f"item {item} of {len(self)}")
        start = self.starts[item]
        return self.rows[start : start + self.lengths[item]]

    def select(self, items: Sequence[int]) -> "RowSelection":
        """Return the rows of some items, one item after the other, to be read as they are needed."""
        runs = [np.arange(self.starts[item], self.starts[item] + self.lengths[item]) for item in items]
        return RowSelection(self.rows, np.concatenate([np.zeros(0, np.int64), *runs]))


class RowSelection:
    """Some rows of an array; where rows of the selection are asked for, only they are read.

    Attributes:
        shape: of the array that the selected rows make.
        ndim: number of its axes.
    """

    def __init__(self, rows: Shaped[np.ndarray, "rows ..."], chosen: Int64[np.ndarray, "m"]) -> None:
        self._all, self._chosen = rows, chosen
        self.shape, self.ndim = (len(chosen), *rows.shape[1:]), rows.ndim

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, rows: Int[np.ndarray, "b"] | slice) -> Shaped[np.ndarray, "b ..."]:
        return self._all[self._chosen[rows]]


class RaggedWriter:
    """Writes a ragged array step by step, and goes on where an earlier writer in the same folder stopped.

    Where lengths are known beforehand items may be written in parts and in any order. Otherwise each is written whole,
    and rows follow each other in the order of writing. Nothing is written through a memory map, for there a full disk
    is a signal that ends the process.

    Attributes:
        done: steps that are there already and must not be made again.
    """

    def __init__(
        self,
        folder: Path,
        dtype: str,
        shape: tuple[int, ...] = (),
        *,
        items: int,
        lengths: Int[np.ndarray, "items"] | None = None,
        name: str = "rows",
        option: str,
    ) -> None:
        """Open the files.

        Args:
            folder: that exists; an unfinished array in it is of the same items, steps and settings.
            dtype: of values, as NumPy's files name it, such as "<f4".
            shape: of a row.
            items: how many there are.
            lengths: rows of each item, where they are known.
            name: of the file of rows.
            option: command-line option that chooses the folder, for messages.

        Raises:
            UserError: the folder cannot be written, or its disk has too little room for items of known lengths.
        """
        self._folder, self._option, self._items = folder, option, items
        self._dtype, self._shape = np.dtype(dtype), shape
        self._row_bytes = self._dtype.itemsize * int(np.prod(shape))
        self._fixed = None if lengths is None else np.asarray(lengths, np.int64)
        self._lengths = np.zeros(items, np.int64) if self._fixed is None else self._fixed
        self._starts = np.cumsum(self._lengths) - self._lengths
        self._columns: dict[str, list[Any]] = {}
        self._total = self._written = int(self._lengths.sum())  # rows altogether, and of these so far
        self._line: list[tuple[int, int, dict[str, Any]]] = []  # items of the step that is being made
        self._indexed = self.done = 0
        self._can_save, self._saved = True, time.monotonic()
        with contextlib.ExitStack() as files, self._sentence():
            self._file, self._journal, self._marker = (
                self._open(folder / file, files) for file in (f"{name}.npy", _ITEMS, _DONE)
            )
            size = os.fstat(self._file).st_size
            self._offset = self._write_header()
            self.done, self._journal_bytes = self._resume(size - self._offset)
            if self._fixed is not None:
                disk.room(folder, self._missing() or 0)
                os.ftruncate(self._file, self._offset + self._total * self._row_bytes)
            self._save()
            self._files = files.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        with self._files, contextlib.suppress(OSError):
            if self._can_save:
                self._save()

    def write(self, item: int, rows: Shaped[np.ndarray, "n ..."], place: int = 0, /, **columns: Any) -> None:
        """Write an item's rows from its row `place` on; `columns` are further values of an item of unknown length.

        Raises:
            UserError: the disk is full, or the like.
        """
        if rows.shape[1:] != self._shape:
            raise ValueError(f"rows of item {item} have the shape {rows.shape[1:]}, not {self._shape}")
        if self._fixed is None:
            start = self._written
            self._written += len(rows)
            self._line.append((item, len(rows), columns))
        else:
            start = int(self._starts[item]) + place
            if place + len(rows) > self._fixed[item]:
                raise ValueError(f"item {item} has {self._fixed[item]} rows, not {place + len(rows)}")
        data = np.ascontiguousarray(rows, self._dtype).reshape(-1).view(np.uint8).data
        with self._sentence():
            _write_all(self._file, data, self._offset + start * self._row_bytes)

    def step(self) -> None:
        """End a step: what was written since the last one need not be made again after a stop.

        Raises:
            UserError: the disk is full, or the like.
        """
        with self._sentence():
            if self._fixed is None:
                line = (json.dumps(self._line) + "\n").encode()
                _write_all(self._journal, memoryview(line), self._journal_bytes)
                self._journal_bytes += len(line)
                self._add(self._line)
                self._line = []
            self.done += 1
            if time.monotonic() - self._saved >= _SAVE_SECONDS:
                self._save()

    def save(self) -> None:
        """See to it that the steps made so far are on the disk.

        Raises:
            UserError: the disk is full, or the like.
        """
        with self._sentence():
            self._save()

    def finish(self, **facts: Any) -> None:
        """Write the index, which makes the array complete.

        Args:
            facts: further values of the array, as JSON can write them.

        Raises:
            UserError: the disk is full, or the like.
        """
        index = {
            "format": FORMAT,
            "lengths": self._lengths.tolist(),
            "starts": self._starts.tolist(),
            "columns": self._columns,
            "facts": facts,
        }
        with self._sentence():
            self._total = self._written
            self._write_header()
            os.ftruncate(self._file, self._offset + self._total * self._row_bytes)
            os.fsync(self._file)
            unfinished = self._folder / f"{INDEX}.tmp"
            with unfinished.open("w", encoding="utf-8") as file:
                json.dump(index, file)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self._folder / INDEX)
            self._can_save = False
            for name in (_ITEMS, _DONE):
                (self._folder / name).unlink()

    def _add(self, line: Sequence[tuple[int, int, dict[str, Any]]]) -> None:
        """Add the items of a step to the index."""
        start = self._written - sum(length for _, length, _ in line)
        for item, length, columns in line:
            self._lengths[item], self._starts[item] = length, start
            start, self._indexed = start + length, self._indexed + 1
            for name, value in columns.items():
                self._columns.setdefault(name, [None] * self._items)[item] = value

    def _resume(self, size: int) -> tuple[int, int]:
        """Return the number of steps that an earlier writer saved, and the bytes of their lines.

        Args:
            size: bytes of rows that the file holds.
        """
        try:
            saved = int(os.pread(self._marker, 32, 0) or 0)
        except ValueError:
            saved = 0
        if self._fixed is not None:
            return saved if size >= self._total * self._row_bytes else 0, 0
        done = length = 0
        with os.fdopen(os.dup(self._journal), "rb") as file:
            for line in file:
                items = json.loads(line) if done < saved else []
                rows = self._written + sum(count for _, count, _ in items)
                if done == saved or rows * self._row_bytes > size:
                    break
                self._written = rows
                self._add(items)
                done, length = done + 1, length + len(line)
        os.ftruncate(self._journal, length)
        return done, length

    def _save(self) -> None:
        """Note how many steps are there, after their rows are on the disk."""
        try:
            os.fsync(self._file)
            os.fsync(self._journal)
        except OSError:
            self._can_save = False  # the system tells once of rows that it could not write, and forgets them
            raise
        # Always as long, so that a full disk has room for it.
        os.pwrite(self._marker, f"{self.done:020}".encode(), 0)
        self._saved = time.monotonic()

    def _write_header(self) -> int:
        """Write the .npy file's header, which NumPy pads to one size for every number of rows; return its size."""
        fields = {"descr": self._dtype.str, "fortran_order": False, "shape": (self._total, *self._shape)}
        with os.fdopen(os.dup(self._file), "wb") as file:
            file.seek(0)
            np.lib.format.write_array_header_1_0(file, fields)
            return file.tell()

    def _missing(self) -> int | None:
        """Return how many bytes the whole array takes beyond what is there; None where nothing tells."""
        there = max(0, 512 * os.fstat(self._file).st_blocks - _PAGE)
        items = self._indexed + len(self._line)
        if self._fixed is not None:
            return max(0, self._total * self._row_bytes - there)
        return max(0, self._written * self._row_bytes * self._items // items - there) if items else None

    @contextlib.contextmanager
    def _sentence(self) -> Iterator[None]:
        """Turn an error of the disk into a `UserError` that says how much room is needed."""
        try:
            yield
        except OSError as error:
            raise disk.unwritable(self._folder.parent, error, self._option, self._missing()) from None

    @staticmethod
    def _open(path: Path, files: contextlib.ExitStack) -> int:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        files.callback(os.close, file)
        return file


def _write_all(file: int, data: memoryview, place: int) -> None:
    """Write all of the data; a call of the system may write a part."""
    while data:
        count = os.pwrite(file, data, place)
        data, place = data[count:], place + count


def make_once(target: Path, make: Callable[[Path], None], option: str) -> None:
    """Make the array in the folder `target` unless it is there, as `serjax.runtime.disk.make_once` does."""
    disk.make_once(target, make, option, last=INDEX)
