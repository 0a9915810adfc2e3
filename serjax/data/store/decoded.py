"""Clips that are decoded once: by several threads into a ragged array, which is found again by the files' contents."""

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
from jaxtyping import Shaped

from serjax.data.store.ragged import FORMAT, Ragged, RaggedWriter, make_once
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError
from serjax.runtime.progress import progress_bar
from serjax.runtime.remote import RemotePath

_THREADS = os.cpu_count() or 1

_AHEAD = 4 * _THREADS
"""Clips that may be decoded ahead of the writer: memory holds this many, however large the corpus."""


class Decoded(NamedTuple):
    """A clip's rows, none where it cannot be used, and its values for the columns of the index."""

    rows: Shaped[np.ndarray, "rows ..."]
    columns: dict[str, Any]


class DecodedClips:
    """The clips of a folder that `decode_once` wrote.

    It pickles as its folder and utterances, and maps the rows again where it is unpickled.

    Attributes:
        folder: of these clips, absolute; its name is a key of the contents.
        utterances: those that could be decoded, in the order they were given.
        hashes: of each clip's rows; equal for equal rows, whatever the files.
        skipped: a sentence for each utterance that is left out.
    """

    array = "rows"
    """Name of the file of rows."""
    what = "decoded clips"
    """Name of the contents in messages."""

    folder: Path
    utterances: tuple[Utterance, ...]
    hashes: tuple[str, ...]
    skipped: tuple[str, ...]

    def __init__(self, folder: Path, utterances: Sequence[Utterance]) -> None:
        try:
            self._ragged = Ragged(folder, self.array)
            reasons = self._ragged.columns["reasons"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{folder}: this store of {self.what} is damaged ({error}); delete it.") from None
        self._kept = [i for i, reason in enumerate(reasons) if reason is None]
        self.utterances = tuple(utterances[i] for i in self._kept)
        self.skipped = tuple(
            f"{self.source(clip)}: {reason}" for clip, reason in zip(utterances, reasons, strict=True) if reason
        )
        self.hashes = tuple(self._column("hashes"))
        self.folder, self._given = folder, tuple(utterances)

    def __len__(self) -> int:
        return len(self.utterances)

    def __reduce__(self) -> tuple[type[Self], tuple[Path, tuple[Utterance, ...]]]:
        return type(self), (self.folder, self._given)

    def _column(self, name: str) -> list[Any]:
        """Return the values of the clips that could be decoded."""
        column = self._ragged.columns[name]
        return [column[i] for i in self._kept]

    @staticmethod
    def source(clip: Utterance) -> Path:
        """Return the file that is decoded."""
        return clip.path


Kind = TypeVar("Kind", bound=DecodedClips)


def decode_once(
    kind: type[Kind],
    utterances: Sequence[Utterance],
    folder: Path,
    decode: Callable[[Utterance], Decoded],
    *,
    settings: Sequence[Any],
    dtype: str,
    shape: tuple[int, ...] = (),
    skip_bad: bool,
) -> Kind:
    """Decode utterances into `folder`, or find their rows there from an earlier time.

    Rows are kept in a folder named by a hash of the files' bytes, the stretches and the settings: files that changed
    are decoded again, files that only moved are not. A call that was stopped goes on where it was.

    Args:
        kind: of the result.
        utterances: in the order of the store; several may be stretches of one file.
        folder: of all stores; made where it is missing.
        decode: returns a clip's rows; called by several threads.
        settings: all that decides, beside files and stretches, what `decode` returns, as JSON can write it.
        dtype: of the rows, as NumPy's files name it.
        shape: of a row.
        skip_bad: leave out clips that cannot be used instead of raising.

    Raises:
        UserError: clips that cannot be used, all of them in one message, a line each; or `folder` cannot be written,
            or the disk is full.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        files = list(dict.fromkeys(kind.source(clip) for clip in utterances))
        digests = dict(zip(files, pool.map(_digest, files), strict=True))
        clips = [(digests[kind.source(clip)], clip.start, clip.end) for clip in utterances]
        key = hashlib.blake2b(json.dumps([FORMAT, *settings, clips]).encode(), digest_size=8).hexdigest()
        target = folder.absolute() / key

        def write(unfinished: Path) -> None:
            writer = RaggedWriter(
                unfinished, dtype, shape, items=len(utterances), name=kind.array, option="--data.cache"
            )
            with writer:
                rest = _in_order(utterances[writer.done :], decode, pool)
                with progress_bar("clips") as bar:
                    task = bar.add_task("decoding", total=len(utterances), completed=writer.done, rate="")
                    for rows, columns in rest:
                        writer.write(writer.done, rows, **columns)
                        writer.step()
                        bar.advance(task)
                writer.finish()

        make_once(target, write, "--data.cache")
    store = kind(target, utterances)
    if store.skipped and not (skip_bad and len(store)):
        remedy = "repair or remove them, or leave them out with --data.skip-bad"
        raise UserError(
            f"{len(store.skipped)} of {len(utterances)} clips cannot be used; "
            f"{remedy if len(store) else 'repair them'}:\n" + "\n".join(store.skipped)
        )
    return store


def usable(rows: Shaped[np.ndarray, "rows ..."], **columns: Any) -> Decoded:
    """Return a clip's rows with their hash."""
    digest = hashlib.blake2b(np.ascontiguousarray(rows).data, digest_size=16).hexdigest()
    return Decoded(rows, {"hashes": digest, "reasons": None, **columns})


def unusable(error: UserError, source: Path, rows: Shaped[np.ndarray, "0 ..."], **columns: Any) -> Decoded:
    """Return no rows with the reason why there are none."""
    return Decoded(rows, {"hashes": None, "reasons": str(error).removeprefix(f"{source}: "), **columns})


def _digest(path: Path) -> str:
    """Return a hash of a file's bytes, or why there is none: then the file is tried again each time.

    Of a URL the store's own record of the file counts: its bytes would be fetched for nothing at each start.
    """
    try:
        if isinstance(path, RemotePath):
            return path.digest()
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        return f"{path}: {error.strerror}"


def _in_order(
    utterances: Sequence[Utterance], decode: Callable[[Utterance], Decoded], pool: Executor
) -> Iterator[Decoded]:
    """Yield the decoded clips in their order; the pool decodes a little ahead."""
    waiting: deque[Future[Decoded]] = deque()
    for clip in utterances:
        waiting.append(pool.submit(decode, clip))
        if len(waiting) > _AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
