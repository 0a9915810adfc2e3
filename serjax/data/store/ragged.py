"""Arrays of clips that are made once: a file on disk, mapped into memory, so that no epoch decodes again."""

import hashlib
import json
import os
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from io import BufferedWriter
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import rich.console
import rich.progress
from jaxtyping import Shaped

from serjax.data.utterance import Utterance
from serjax.runtime.disk import atomic_folder, unwritable
from serjax.runtime.errors import UserError

_THREADS = os.cpu_count() or 1

_AHEAD = 4 * _THREADS
"""Clips that may be made ahead of the writer: memory holds this many, however large the corpus."""

Made = tuple[Shaped[np.ndarray, "rows ..."], dict[str, Any]]
"""A clip's rows and what the index keeps of it; no rows where `unusable` says why."""


class MappedClips:
    """The clips of a folder that `open_mapped` wrote.

    It pickles as its folder and utterances, and maps the rows again where it is unpickled.

    Attributes:
        folder: of these clips, absolute; its name is a key of the contents.
        utterances: those that could be decoded, in the order they were given.
        hashes: of each clip's rows; equal for equal rows, whatever the files.
        skipped: a sentence for each utterance that is left out.
    """

    array = "rows"
    """What the file of rows is called."""
    what = "decoded clips"
    """What the clips are called in messages."""

    folder: Path
    utterances: tuple[Utterance, ...]
    hashes: tuple[str, ...]
    skipped: tuple[str, ...]

    def __init__(self, folder: Path, utterances: Sequence[Utterance]) -> None:
        try:
            index = json.loads((folder / "index.json").read_text())
            rows = np.load(folder / f"{self.array}.npy", mmap_mode="r")
        except (OSError, ValueError) as error:
            raise UserError(f"{folder}: this store of {self.what} is damaged ({error}); delete it.") from None
        reasons = index["reasons"]
        kept = [i for i, reason in enumerate(reasons) if reason is None]
        self.utterances = tuple(utterances[i] for i in kept)
        self.skipped = tuple(
            f"{self.source(clip)}: {reason}" for clip, reason in zip(utterances, reasons, strict=True) if reason
        )
        self._index = {name: [column[i] for i in kept] for name, column in index.items() if isinstance(column, list)}
        self.hashes = tuple(self._index["hashes"])
        self.folder, self._given = folder, tuple(utterances)
        self._rows = rows.view(np.ndarray)  # a slice of a memmap costs ten times that of an array

    def __len__(self) -> int:
        return len(self.utterances)

    def __reduce__(self) -> tuple[type[Self], tuple[Path, tuple[Utterance, ...]]]:
        return type(self), (self.folder, self._given)

    @staticmethod
    def source(clip: Utterance) -> Path:
        """Return the file that is decoded."""
        return clip.path


Kind = TypeVar("Kind", bound=MappedClips)


def open_mapped(
    kind: type[Kind],
    utterances: Sequence[Utterance],
    folder: Path,
    make: Callable[[Utterance], Made],
    *,
    settings: Sequence[Any],
    dtype: str,
    shape: tuple[int, ...] = (),
    skip_bad: bool,
    progress: bool,
) -> Kind:
    """Make the rows of utterances in `folder`, or find them there from an earlier time.

    What is kept lies in a folder named by a hash of the files' bytes, the stretches and the settings: of a file that
    changed rows are made again, of one that only moved they are not. It appears when it is complete.

    Args:
        kind: of the result.
        utterances: in the order of the store; several may be stretches of one file.
        folder: of all stores; made where it is missing.
        make: returns a clip's rows; called by several threads.
        settings: all that decides, beside files and stretches, what `make` returns, as JSON can write it.
        dtype: of the rows, as NumPy's files name it.
        shape: of a row.
        skip_bad: leave out clips that cannot be used instead of raising.
        progress: show a bar on a terminal while rows are made.

    Raises:
        UserError: clips that cannot be used, all of them in one message, a line each; or `folder` cannot be written,
            or the disk is full.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        files = list(dict.fromkeys(kind.source(clip) for clip in utterances))
        digests = dict(zip(files, pool.map(_digest, files), strict=True))
        clips = [(digests[kind.source(clip)], clip.start, clip.end) for clip in utterances]
        key = hashlib.blake2b(json.dumps([*settings, clips]).encode(), digest_size=8).hexdigest()
        target = folder.absolute() / key
        if not target.is_dir():
            made = _in_order(utterances, make, pool)
            _write(target, kind.array, made, len(utterances), dtype, shape, progress)
    store = kind(target, utterances)
    if store.skipped and not (skip_bad and len(store)):
        remedy = "repair or remove them, or leave them out with --data.skip-bad"
        raise UserError(
            f"{len(store.skipped)} of {len(utterances)} clips cannot be used; "
            f"{remedy if len(store) else 'repair them'}:\n" + "\n".join(store.skipped)
        )
    return store


def described(rows: Shaped[np.ndarray, "rows ..."], **facts: Any) -> Made:
    """Return rows with what the index keeps of them."""
    digest = hashlib.blake2b(np.ascontiguousarray(rows).data, digest_size=16).hexdigest()
    return rows, {"hashes": digest, "reasons": None, **facts}


def unusable(error: UserError, source: Path, rows: Shaped[np.ndarray, "0 ..."], **facts: Any) -> Made:
    """Return no rows with the reason why there are none."""
    return rows, {"hashes": None, "reasons": str(error).removeprefix(f"{source}: "), **facts}


def _digest(path: Path) -> str:
    """Return a hash of a file's bytes, or why there is none: then the file is tried again each time."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        return f"{path}: {error.strerror}"


def _write(
    target: Path, array: str, made: Iterator[Made], count: int, dtype: str, shape: tuple[int, ...], progress: bool
) -> None:
    """Write the rows of `count` clips into the new folder `target`."""
    index: defaultdict[str, list[Any]] = defaultdict(list)
    size = 0
    console = rich.console.Console(stderr=True)
    quiet = not (progress and console.is_terminal)
    try:
        # Written, not assigned through a memory map: there a full disk is a signal that ends the process.
        with atomic_folder(target) as folder, (folder / f"{array}.npy").open("wb") as file:
            _write_header(file, dtype, (0, *shape))
            for rows, facts in rich.progress.track(
                made, "Decoding", count, console=console, transient=True, disable=quiet
            ):
                contiguous = np.ascontiguousarray(rows, dtype)
                file.write(contiguous.data)
                size += contiguous.nbytes
                for name, value in {"lengths": len(rows), **facts}.items():
                    index[name].append(value)
            file.seek(0)
            _write_header(file, dtype, (sum(index["lengths"]), *shape))
            file.flush()
            os.fsync(file.fileno())
            (folder / "index.json").write_text(json.dumps(index))
    except OSError as error:
        # What is made so far tells how large the whole would be.
        needed = size * count // max(len(index["lengths"]), 1)
        raise unwritable(target.parent, error, "--data.cache", needed) from None


def _write_header(file: BufferedWriter, dtype: str, shape: tuple[int, ...]) -> None:
    """Write the header of a .npy file; NumPy pads it to one size for every length."""
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})


def _in_order(utterances: Sequence[Utterance], make: Callable[[Utterance], Made], pool: Executor) -> Iterator[Made]:
    """Yield what is made of the clips in their order, by the pool, a little ahead."""
    waiting: deque[Future[Made]] = deque()
    for clip in utterances:
        waiting.append(pool.submit(make, clip))
        if len(waiting) > _AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
