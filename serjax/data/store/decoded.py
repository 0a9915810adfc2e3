"""Clips that are decoded once: by several threads into a ragged array, which is found again by the files' contents."""

import hashlib
import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
from jaxtyping import Shaped

from serjax.data.store.ragged import FORMAT, Ragged, RaggedWriter, make_once
from serjax.data.store.together import make_together, remove_parts, work_together
from serjax.data.utterance import Utterance
from serjax.runtime import distributed
from serjax.runtime.errors import UserError
from serjax.runtime.progress import progress_bar
from serjax.runtime.remote import RemotePath

THREADS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""Threads that decode: as many as there are processors for this process."""

_OPTION = "--data.cache"

_AHEAD = 4 * THREADS
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
    facts: Mapping[str, Any] | None = None,
) -> Kind:
    """Decode utterances into `folder`, or find their rows there from an earlier time.

    Rows are kept in a folder named by a hash of the files' bytes, the stretches and the settings: files that changed
    are decoded again, files that only moved are not. A call that was stopped goes on where it was.

    The processes of a run that share `folder` hash and decode a part of the clips each, and all of them must call it.
    The first joins the parts, one after the other, and removes each when it is copied: meanwhile the disk holds the
    largest part twice. What is there in the end is byte for byte what one process writes.

    Args:
        kind: of the result.
        utterances: in the order of the store; several may be stretches of one file.
        folder: of all stores; made where it is missing.
        decode: returns a clip's rows; called by several threads.
        settings: all that decides, beside files and stretches, what `decode` returns, as JSON can write it.
        dtype: of the rows, as NumPy's files name it.
        shape: of a row.
        skip_bad: leave out clips that cannot be used instead of raising.
        facts: of the store, as JSON can write them; they follow from the settings.

    Raises:
        UserError: clips that cannot be used, all of them in one message, a line each; or `folder` cannot be written,
            or the disk is full; or other processes were given other clips.
    """
    items, facts = len(utterances), facts or {}

    def writer(unfinished: Path, count: int) -> RaggedWriter:
        return RaggedWriter(unfinished, dtype, shape, items=count, name=kind.array, option=_OPTION)

    def begin(unfinished: Path) -> int:
        with writer(unfinished, items) as opened:
            return opened.done

    def join(unfinished: Path, parts: Sequence[Path]) -> None:
        with writer(unfinished, items) as whole, progress_bar("clips") as bar:
            task = bar.add_task("joining parts", total=items, completed=whole.done, rate="")
            for i, part in enumerate(parts):
                steps = _own(items)(i, len(parts))
                if whole.done < steps.stop:
                    found = Ragged(part, kind.array)
                    for item in range(whole.done - steps.start, len(steps)):
                        columns = {name: column[item] for name, column in found.columns.items()}
                        whole.write(whole.done, found[item], **columns)
                        whole.step()
                        bar.advance(task)
                    whole.save()
                shutil.rmtree(part, ignore_errors=True)
            whole.finish(**facts)

    with ThreadPoolExecutor(THREADS) as pool:

        def fill(unfinished: Path, steps: range) -> None:
            with writer(unfinished, len(steps)) as part, progress_bar("clips") as bar:
                rest = _in_order(utterances[steps.start + part.done : steps.stop], decode, pool)
                task = bar.add_task("decoding", total=len(steps), completed=part.done, rate="")
                for rows, columns in rest:
                    part.write(part.done, rows, **columns)
                    part.step()
                    bar.advance(task)
                part.finish(**facts)

        def make(unfinished: Path) -> None:
            remove_parts(target)  # of several processes that were stopped
            fill(unfinished, range(items))

        together = work_together(folder)
        if together:
            clips = [(clip.id, clip.start, clip.end) for clip in utterances]
            distributed.same({"list of clips (its fingerprint)": _hash(clips)})
        files = list(dict.fromkeys(kind.source(clip) for clip in utterances))

        def key(digests: Sequence[str]) -> str:
            known = dict(zip(files, digests, strict=True))
            clips = [(known[kind.source(clip)], clip.start, clip.end) for clip in utterances]
            return _hash([FORMAT, *settings, clips])

        if together:
            target = folder.absolute() / _key_together(files, key, pool)
            make_together(target, _own(items), fill, join, _OPTION, begin=begin)
        else:
            target = folder.absolute() / key(list(pool.map(_digest, files)))
            make_once(target, make, _OPTION)
    store = kind(target, utterances)
    if store.skipped and _readable_again(store, utterances, decode):
        # What kept a file from being read may pass, and nothing of the file need change.
        distributed.from_first("stale store", lambda: shutil.rmtree(target, ignore_errors=True))
        return decode_once(
            kind,
            utterances,
            folder,
            decode,
            settings=settings,
            dtype=dtype,
            shape=shape,
            skip_bad=skip_bad,
            facts=facts,
        )
    if store.skipped and not (skip_bad and len(store)):
        remedy = "repair or remove them, or leave them out with --data.skip-bad"
        raise UserError(
            f"{len(store.skipped)} of {len(utterances)} clips cannot be used; "
            f"{remedy if len(store) else 'repair them'}:\n" + "\n".join(store.skipped)
        )
    return store


def _readable_again(
    store: DecodedClips, utterances: Sequence[Utterance], decode: Callable[[Utterance], Decoded]
) -> bool:
    """Return whether a clip that the store leaves out can be decoded now; the first process looks for all."""
    kept = set(store.utterances)
    bad = [clip for clip in utterances if clip not in kept]
    return distributed.from_first(
        "clips that are tried again", lambda: any(decode(clip).columns["reasons"] is None for clip in bad)
    )


def usable(rows: Shaped[np.ndarray, "rows ..."], **columns: Any) -> Decoded:
    """Return a clip's rows with their hash."""
    return Decoded(rows, {"hashes": content_hash(rows), "reasons": None, **columns})


def content_hash(rows: Shaped[np.ndarray, "rows ..."]) -> str:
    """Return a hash of a clip's rows, such as its samples as little-endian float32 (`<f4`)."""
    return hashlib.blake2b(np.ascontiguousarray(rows).data, digest_size=16).hexdigest()


def unusable(error: UserError, source: Path, rows: Shaped[np.ndarray, "0 ..."], **columns: Any) -> Decoded:
    """Return no rows with the reason why there are none."""
    return Decoded(rows, {"hashes": None, "reasons": str(error).removeprefix(f"{source}: "), **columns})


def _own(items: int) -> Callable[[int, int], range]:
    """Return the function that gives the items of part I of N: neighbours, so that parts are joined end to end."""
    return lambda part, parts: range(items * part // parts, items * (part + 1) // parts)


def _key_together(files: Sequence[Path], key: Callable[[Sequence[str]], str], pool: Executor) -> str:
    """Return the key of the files' digests, of which each process finds its share."""
    index, count = distributed.index(), distributed.count()
    told = distributed.to_first("digests", json.dumps(list(pool.map(_digest, files[index::count]))))

    def from_all() -> str:
        assert told is not None
        digests = [""] * len(files)
        for i, text in enumerate(told):
            digests[i::count] = json.loads(text)
        return key(digests)

    return distributed.from_first("key", from_all)


def _hash(value: Any) -> str:
    return hashlib.blake2b(json.dumps(value).encode(), digest_size=8).hexdigest()


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
