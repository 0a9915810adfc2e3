"""Embeddings of many clips, each computed once and found again by its samples."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float32

from serjax.audio import SAMPLE_RATE
from serjax.data.store.decoded import THREADS
from serjax.inference.clips import Named
from serjax.inference.embedding import Embedder, digest
from serjax.inference.inputs import Sample, rate_of
from serjax.runtime.disk import disk_errors
from serjax.runtime.errors import MissingPackage, UserError
from serjax.runtime.progress import progress_bar

_OPTION = "--cache"
_CLIPS, _SECONDS = 64, 1200.0
"""Clips, or seconds of sound, that are read before they are computed: memory holds no more, and one clip."""

Given = TypeVar("Given")
Made = TypeVar("Made")


class EmbeddedClip(NamedTuple):
    """A clip whose embedding is in the cache, or a reason why it is not.

    Attributes:
        name: of the clip.
        seconds: of its sound, as the model takes it.
        digest: hash of its samples, by which the cache has its embedding.
        rate: of the file, in Hz.
        pieces: stretches of it that went through the model.
        notes: sentences about what was read.
        error: sentence on why it cannot be read; None: it can.
    """

    name: str
    seconds: float = 0.0
    digest: str = ""
    rate: float = SAMPLE_RATE
    pieces: int = 1
    notes: tuple[str, ...] = ()
    error: str | None = None


class EmbeddingCache:
    """Embeddings of one model and one pooling on the disk, a file each, named by a hash of the clip's samples."""

    def __init__(self, folder: Path, key: str) -> None:
        """Name the folder; it is made when something is kept.

        Args:
            folder: of all caches.
            key: of the settings, see `serjax.inference.embedding.Settings`.
        """
        self.folder = folder / key

    def path(self, digest: str) -> Path:
        """Return the file of a clip."""
        return self.folder / digest[:2] / f"{digest}.npy"

    def __contains__(self, digest: str) -> bool:
        try:
            return np.load(self.path(digest), mmap_mode="r").dtype == np.float32
        except Exception:  # none, or what a crash of the system left of one
            return False

    def __getitem__(self, digest: str) -> Float32[np.ndarray, "*n d"]:
        """Return the embedding of a clip."""
        found: np.ndarray = np.load(self.path(digest))
        return found

    def keep(self, digest: str, values: Float32[np.ndarray, "*n d"]) -> None:
        """Write the embedding of a clip; nobody sees half of it.

        Raises:
            UserError: the disk is full, or the folder cannot be written.
        """
        path = self.path(digest)
        unfinished = path.with_suffix(".tmp")
        with disk_errors(self.folder.parent, _OPTION):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with unfinished.open("wb") as file:
                    np.save(file, values, allow_pickle=False)
                unfinished.replace(path)
            finally:
                unfinished.unlink(missing_ok=True)


def embed_clips(embedder: Embedder, clips: Sequence[Named], cache: EmbeddingCache) -> list[EmbeddedClip]:
    """Return clips whose embeddings are then in the cache; those that were there are read, but not computed again.

    A call that is stopped leaves in the cache what it has computed.

    Raises:
        UserError: the cache cannot be written, or the weights are damaged.
    """
    rows: list[EmbeddedClip] = []
    waiting: dict[str, Sample] = {}

    def read(clip: Named) -> tuple[EmbeddedClip, Sample | None]:
        return _read(embedder, clip)

    with ThreadPoolExecutor(THREADS) as pool, progress_bar("clips") as bar:
        task = bar.add_task("embedding", total=len(clips), rate="")

        def compute() -> None:
            names, samples = list(waiting), list(waiting.values())
            for place, values in embedder.embed(samples):
                cache.keep(names[place], values)
                bar.advance(task, counts.pop(names[place]))
            waiting.clear()

        counts: dict[str, int] = {}
        seconds = 0.0
        for row, sample in _ahead(pool, read, clips):
            rows.append(row)
            if sample is None or (row.digest not in waiting and row.digest in cache):
                bar.advance(task)
                continue
            waiting[row.digest], counts[row.digest] = sample, counts.get(row.digest, 0) + 1
            seconds += row.seconds
            if len(waiting) >= _CLIPS or seconds >= _SECONDS:
                compute()
                seconds = 0.0
        compute()
    return rows


def _read(embedder: Embedder, clip: Named) -> tuple[EmbeddedClip, Sample | None]:
    """Return a clip and its samples; none where it cannot be read."""
    try:
        sample = embedder.read(clip.path)
    except MissingPackage:
        raise
    except UserError as error:
        return EmbeddedClip(clip.name, error=str(error)), None
    seconds, pieces = len(sample.wave) / SAMPLE_RATE, len(embedder.pieces(sample.wave))
    rate = rate_of(clip.path) if len(sample.wave) else SAMPLE_RATE
    return EmbeddedClip(clip.name, seconds, digest(sample), rate, pieces, sample.notes), sample


def _ahead(
    pool: ThreadPoolExecutor, call: Callable[[Given], Made], items: Sequence[Given], most: int = 2 * THREADS
) -> Iterator[Made]:
    """Yield what a call returns for each item, in their order; the pool is a few items ahead."""
    coming: deque[Future[Made]] = deque()
    try:
        for item in items:
            coming.append(pool.submit(call, item))
            if len(coming) > most:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
    finally:
        for future in coming:
            future.cancel()
