"""Batches of clips, cropped and padded, with their video, read by Grain ahead of the device."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeVar

import grain
import numpy as np
from jaxtyping import Float32, Int, Int32, Int64, Shaped

from serjax.data.batching.lengths import Crop, crop_start
from serjax.data.store.decoded import THREADS

if TYPE_CHECKING:
    from serjax.data.batching.channel import Channel, Drawn

Item = TypeVar("Item")

READ = grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)
"""One thread that prepares four batches ahead.

Clips are views of a memory-mapped file, so a batch is a few copies of memory: on two busy cores one thread fills some
20,000 clips of 3 s a second, and 3,000 while the file is not in memory yet, far more than a train step takes. Four
threads make it 26,000 and 4,000 at the price of as many threads a fold. Four batches bridge a slow read.
Clips of a store that keeps none are decoded by further threads, see `read_clips`.
"""

ALL = slice(None)
"""All rows of a batch."""


class Clips(Protocol):
    """Decoded clips, such as a `ClipStore`; `kept` is False where each is decoded whenever it is read."""

    @property
    def lengths(self) -> Int64[np.ndarray, "clips"]:
        """Length of every clip in samples."""

    def clip(self, i: int) -> Float32[np.ndarray, "t"]:
        """Return clip `i`, 16 kHz."""

    def __len__(self) -> int: ...


class Frames(Protocol):
    """Video frames, or face features, of clips, such as `FrameStore.of` returns."""

    @property
    def hashes(self) -> tuple[str, ...]:
        """Hash of each clip's frames."""

    def rows(self, clips: Int[np.ndarray, "b"]) -> tuple[Shaped[np.ndarray, "b f ..."], Int32[np.ndarray, "b"]]:
        """Return some clips' frames, and how many of them each clip has."""


class Batch(NamedTuple):
    """A batch; with folds side by side, every field has their axis in front.

    Rows that only fill up a last batch repeat its first row with weight 0, so that a model sees proper speech in them
    and no mean over nothing turns into NaN.

    Attributes:
        wave: Float32 [b t], samples, zeros after the clip's end.
        length: Int32 [b], samples of the clip in `wave`; 0 where nobody listens, else at least 1.
        label: Int32 [b], class.
        weight: Float32 [b], 1, or 0 for rows that only fill up.
        clip: Int32 [b], number of the clip in the store.
        video: UInt8 [b f h w 3], or Float32 [b f d] of face features; None for models without video.
        video_length: Int32 [b], frames of the clip in `video`.
    """

    wave: Float32[np.ndarray, "*k b t"]
    length: Int32[np.ndarray, "*k b"]
    label: Int32[np.ndarray, "*k b"]
    weight: Float32[np.ndarray, "*k b"]
    clip: Int32[np.ndarray, "*k b"]
    video: Shaped[np.ndarray, "..."] | None = None
    video_length: Int32[np.ndarray, "*k b"] | None = None


def train_batches(
    clips: Clips,
    labels: Int[np.ndarray, "clips"],
    indices: Sequence[int],
    *,
    batch_size: int,
    samples: int,
    seed: tuple[int, ...],
    sampling: Literal["shuffle", "balanced"] = "shuffle",
    frames: Frames | None = None,
    channel: "Channel | None" = None,
    rows: slice = ALL,
    first: int = 0,
    read: grain.ReadOptions = READ,
) -> grain.IterDataset[Batch]:
    """Return one epoch of training batches: random order, random crops, zeros on the right of short clips.

    Order, crops and channels are drawn at once from `seed`, so they depend neither on threads nor on how far another
    epoch was read, and a dropped iterator needs no care.

    Args:
        clips: the store.
        labels: class of every clip of the store.
        indices: clips of this epoch.
        batch_size: rows of every batch.
        samples: length of every row.
        seed: not negative; give every epoch of every fold its own, always of the same number of values.
        sampling: shuffle uses every clip once. balanced draws as many, with replacement, each class as likely.
        frames: video of every clip of the store.
        channel: codecs and babble; babble is of clips of `indices` alone.
        rows: of each batch that are read, where other processes read the others.
        first: number of the first batch, where the epoch goes on.
        read: threads and batches ahead.
    """
    rng = np.random.default_rng(seed)
    order = np.asarray(indices, np.int64)
    if sampling == "balanced":
        weight = 1 / np.bincount(labels[order])[labels[order]]
        order = rng.choice(order, len(order), p=weight / weight.sum())
    else:
        order = rng.permutation(order)
    spare = np.maximum(clips.lengths[order] - samples, 0)
    starts = rng.integers(spare + 1)
    drawn = None if channel is None else channel.draw(rng, order)
    return _dataset(clips, labels, order, starts, batch_size, samples, frames, rows, first, read, drawn)


def eval_batches(
    clips: Clips,
    labels: Int[np.ndarray, "clips"],
    indices: Sequence[int],
    *,
    batch_size: int,
    samples: int,
    crop: Crop = "head",
    frames: Frames | None = None,
    rows: slice = ALL,
    read: grain.ReadOptions = READ,
) -> grain.IterDataset[Batch]:
    """Return batches of the clips in the order of `indices`, each cut as `crop_clip` does and padded with zeros.

    Args:
        clips: the store.
        labels: class of every clip of the store.
        indices: clips to evaluate.
        batch_size: rows of every batch.
        samples: length of every row.
        crop: the part of a longer clip.
        frames: video of every clip of the store.
        rows: of each batch that are read, where other processes read the others.
        read: threads and batches ahead.
    """
    order = np.asarray(indices, np.int64)
    starts = crop_start(clips.lengths[order], samples, crop)
    return _dataset(clips, labels, order, starts, batch_size, samples, frames, rows, 0, read)


def steps_per_epoch(clips: int, batch_size: int) -> int:
    """Return the number of batches that hold `clips` clips, the last one filled up."""
    return -(-clips // batch_size)


def stack(batches: Sequence[Batch]) -> Batch:
    """Put batches of equal shape side by side, the folds' axis in front; of a single one nothing is copied."""
    if len(batches) == 1:
        return Batch._make(None if part is None else part[None] for part in batches[0])
    return Batch._make(None if parts[0] is None else np.stack(parts) for parts in zip(*batches, strict=True))


def read_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Yield items, the next of which is made in a thread meanwhile."""
    source = iter(items)
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, source, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, source, None)
            yield item


def read_clips(clips: Clips, numbers: Iterable[int]) -> Iterator[Float32[np.ndarray, "_"]]:
    """Return clips in the order of their numbers; a store that keeps none has several threads decode them.

    Args:
        clips: the store.
        numbers: of the clips; one that comes twice is decoded once.
    """
    if getattr(clips, "kept", True):
        return map(clips.clip, numbers)
    numbers = list(numbers)
    once = list(dict.fromkeys(numbers))
    found = dict(zip(once, _decoders().map(clips.clip, once), strict=True))
    return (found[number] for number in numbers)


@cache
def _decoders() -> ThreadPoolExecutor:
    """Return the threads that decode for all folds."""
    return ThreadPoolExecutor(THREADS, "decoding")


def fill_rows(
    clips: Sequence[Float32[np.ndarray, "_"]], rows: int, samples: int
) -> tuple[Float32[np.ndarray, "b s"], Int32[np.ndarray, "b"]]:
    """Return clips of at most `samples` samples as rows padded with zeros, and their lengths.

    Rows beyond the clips repeat the first one: a row of nothing has no mean to subtract.
    """
    wave = np.zeros((rows, samples), np.float32)
    length = np.full(rows, len(clips[0]), np.int32)
    wave[len(clips) :, : len(clips[0])] = clips[0]
    for row, clip in enumerate(clips):
        wave[row, : len(clip)], length[row] = clip, len(clip)
    return wave, length


def _dataset(
    clips: Clips,
    labels: Int[np.ndarray, "clips"],
    order: Int64[np.ndarray, "n"],
    starts: Int64[np.ndarray, "n"],
    batch_size: int,
    samples: int,
    frames: Frames | None,
    rows: slice,
    first: int,
    read: grain.ReadOptions,
    drawn: "Drawn | None" = None,
) -> grain.IterDataset[Batch]:
    """Lay out clip `order[i]`, from sample `starts[i]` on, as row `i % batch_size` of batch `i // batch_size`."""

    def fill(number: int) -> Batch:
        places = np.arange(number * batch_size, (number + 1) * batch_size)[rows]
        real = places < len(order)
        places = np.where(real, places, number * batch_size)
        chosen = order[places]
        length = np.minimum(clips.lengths[chosen], samples)
        wave = np.zeros((len(places), samples), np.float32)
        if drawn is None:
            both = zip(read_clips(clips, chosen.tolist()), starts[places].tolist(), strict=True)
            found: Iterator[np.ndarray] = (clip[start : start + samples] for clip, start in both)
        else:
            found = drawn.rows(clips, chosen, starts[places], places, samples)
        for row, stretch in enumerate(found):
            wave[row, : length[row]] = stretch
        weight = real.astype(np.float32)
        video = () if frames is None else frames.rows(chosen)
        values = (length.astype(np.int32), labels[chosen].astype(np.int32), weight, chosen.astype(np.int32))
        return Batch(wave, *values, *video)

    # Grain spends some 30 microseconds on an element, so an element is a whole batch and not a clip.
    return grain.MapDataset.range(first, steps_per_epoch(len(order), batch_size)).map(fill).to_iter_dataset(read)
