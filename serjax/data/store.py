"""Clips decoded once: one flat array of samples on disk, mapped into memory, so that no epoch decodes again."""

import hashlib
import json
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from io import BufferedWriter
from pathlib import Path

import numpy as np
import rich.console
import rich.progress
from jaxtyping import Float32, Int64

from serjax.audio.activity import trim
from serjax.audio.files import decode
from serjax.config import SAMPLE_RATE, Activity
from serjax.data.utterance import Utterance
from serjax.disk import atomic_folder, unwritable
from serjax.errors import UserError

_VERSION = 2
"""Part of every key: where layout or decoding change, stores of before are not found and made anew."""

_THREADS = os.cpu_count() or 1

_AHEAD = 4 * _THREADS
"""Clips that may be decoded ahead of the writer: memory holds this many, however large the corpus."""

_Decoded = tuple[Float32[np.ndarray, "t"], str | None, str | None, bool]
"""Samples and their hash, or no samples and the reason; and whether silence could be left out as asked."""


class ClipStore:
    """The decoded clips of a folder that `open_store` wrote.

    It pickles as its folder and utterances, and maps the samples again where it is unpickled.

    Attributes:
        folder: of this store, absolute; its name is a key of the contents.
        utterances: those that could be decoded, in the order they were given.
        lengths: of each clip, in samples.
        hashes: of each clip's samples; equal for equal samples, whatever the files.
        skipped: a sentence for each utterance that is left out.
        untrimmed: how many clips kept their silence because too little would have been left.
    """

    folder: Path
    utterances: tuple[Utterance, ...]
    lengths: Int64[np.ndarray, "clips"]
    hashes: tuple[str, ...]
    skipped: tuple[str, ...]
    untrimmed: int

    def __init__(self, folder: Path, utterances: Sequence[Utterance]) -> None:
        try:
            index = json.loads((folder / "index.json").read_text())
            samples = np.load(folder / "samples.npy", mmap_mode="r")
        except (OSError, ValueError) as error:
            raise UserError(f"{folder}: this store of decoded clips is damaged ({error}); delete it.") from None
        kept = [i for i, reason in enumerate(index["reasons"]) if reason is None]
        self.utterances = tuple(utterances[i] for i in kept)
        self.lengths = np.array([index["lengths"][i] for i in kept], np.int64)
        self.hashes = tuple(index["hashes"][i] for i in kept)
        self.skipped = tuple(
            f"{clip.path}: {reason}" for clip, reason in zip(utterances, index["reasons"], strict=True) if reason
        )
        self.untrimmed = sum(not index["trimmed"][i] for i in kept)
        self.folder, self._given = folder, tuple(utterances)
        self._samples = samples.view(np.ndarray)  # a slice of a memmap costs ten times that of an array
        self._ends = np.cumsum(self.lengths)

    def __len__(self) -> int:
        return len(self.utterances)

    def clip(self, i: int) -> Float32[np.ndarray, "t"]:
        """Return clip i at 16 kHz: a read-only view of the file."""
        if not 0 <= i < len(self):
            raise IndexError(f"clip {i} of a store of {len(self)}")
        return self._samples[self._ends[i] - self.lengths[i] : self._ends[i]]

    def __reduce__(self) -> tuple[type["ClipStore"], tuple[Path, tuple[Utterance, ...]]]:
        return ClipStore, (self.folder, self._given)


def open_store(
    utterances: Sequence[Utterance],
    folder: Path,
    *,
    skip_bad: bool,
    activity: Activity = "none",
    progress: bool = True,
) -> ClipStore:
    """Decode utterances into `folder`, or find them there from an earlier time.

    What is kept lies in a folder named by a hash of the files' bytes, the stretches, the rate and the layout: a file
    that changed is decoded again, one that only moved is not. It appears when it is complete.

    Args:
        utterances: in the order of the store; several may be stretches of one file.
        folder: of all stores; made where it is missing.
        skip_bad: leave out clips that cannot be used instead of raising.
        activity: how silence is left out.
        progress: show a bar on a terminal while decoding.

    Raises:
        UserError: clips that cannot be used, all of them in one message, a line each; or `folder` cannot be written,
            or the disk is full.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        files = list(dict.fromkeys(clip.path for clip in utterances))
        digests = dict(zip(files, pool.map(_digest, files), strict=True))
        target = folder.absolute() / _key(utterances, digests, activity)
        if not target.is_dir():
            _build(utterances, target, pool, activity, progress)
    store = ClipStore(target, utterances)
    if store.skipped and not (skip_bad and len(store)):
        remedy = "repair or remove them, or leave them out with --data.skip-bad"
        raise UserError(
            f"{len(store.skipped)} of {len(utterances)} clips cannot be used; "
            f"{remedy if len(store) else 'repair them'}:\n" + "\n".join(store.skipped)
        )
    return store


def _digest(path: Path) -> str:
    """Return a hash of a file's bytes, or why there is none: then the file is tried again each time."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        return f"{path}: {error.strerror}"


def _key(utterances: Sequence[Utterance], digests: Mapping[Path, str], activity: Activity) -> str:
    """Return the name of the folder for these clips: 16 hexadecimal digits."""
    clips = [(digests[clip.path], clip.start, clip.end) for clip in utterances]
    return hashlib.blake2b(json.dumps([_VERSION, SAMPLE_RATE, activity, clips]).encode(), digest_size=8).hexdigest()


def _build(utterances: Sequence[Utterance], target: Path, pool: Executor, activity: Activity, progress: bool) -> None:
    """Decode all utterances into the new folder `target`."""
    lengths: list[int] = []
    hashes: list[str | None] = []
    reasons: list[str | None] = []
    trimmed: list[bool] = []
    console = rich.console.Console(stderr=True)
    quiet = not (progress and console.is_terminal)
    try:
        # Written, not assigned through a memory map: there a full disk is a signal that ends the process.
        with atomic_folder(target) as folder, (folder / "samples.npy").open("wb") as file:
            _write_header(file, 0)
            decoded = _decode_all(utterances, pool, activity)
            shown = rich.progress.track(
                decoded, "Decoding", len(utterances), console=console, transient=True, disable=quiet
            )
            for samples, digest, reason, left_out in shown:
                file.write(samples.data)
                lengths.append(len(samples))
                hashes.append(digest)
                reasons.append(reason)
                trimmed.append(left_out)
            file.seek(0)
            _write_header(file, sum(lengths))
            file.flush()
            os.fsync(file.fileno())
            index = {"rate": SAMPLE_RATE, "lengths": lengths, "hashes": hashes, "reasons": reasons}
            index["trimmed"] = trimmed
            (folder / "index.json").write_text(json.dumps(index))
    except OSError as error:
        # What is decoded so far tells how large the whole would be.
        needed = 4 * sum(lengths) * len(utterances) // max(len(lengths), 1)
        raise unwritable(target.parent, error, "--data.cache", needed) from None


def _write_header(file: BufferedWriter, length: int) -> None:
    """Write the .npy header of `length` float32 values; NumPy pads it to one size for every length."""
    header = {"descr": "<f4", "fortran_order": False, "shape": (length,)}
    np.lib.format.write_array_header_1_0(file, header)


def _decode_all(utterances: Sequence[Utterance], pool: Executor, activity: Activity) -> Iterator[_Decoded]:
    """Yield the clips in order, decoded by the pool a little ahead."""
    waiting: deque[Future[_Decoded]] = deque()
    for clip in utterances:
        waiting.append(pool.submit(_decode, clip, activity))
        if len(waiting) > _AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _decode(clip: Utterance, activity: Activity) -> _Decoded:
    """Return samples and hash, or the reason why the clip cannot be used."""
    try:
        samples, trimmed = trim(decode(clip.path, start=clip.start, end=clip.end), activity)
    except UserError as error:
        return np.zeros(0, np.float32), None, str(error).removeprefix(f"{clip.path}: "), True
    samples = np.ascontiguousarray(samples, "<f4")
    return samples, hashlib.blake2b(samples.data, digest_size=16).hexdigest(), None, trimmed
