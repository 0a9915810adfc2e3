"""Batches of clips with their frames' labels, by seconds of audio, in few shapes."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import grain
import numpy as np
from jaxtyping import Float32, Int, Int32, Integer

from serjax.audio import SAMPLE_RATE
from serjax.data.batching.batches import ALL, READ, Clips, read_clips
from serjax.data.store.frame_labels import FrameGrid
from serjax.runtime.errors import UserError

SHAPES = 8
"""Lengths of batches: each is compiled once. Of RAVDESS and EMO-DB, 3 % of the audio is cropped away with eight."""


class Shape(NamedTuple):
    """Batches of one length.

    Attributes:
        frames: of each row.
        rows: clips of a batch.
        clips: numbers of the clips that come in such batches.
    """

    frames: int
    rows: int
    clips: tuple[int, ...]


class LabelledBatch(NamedTuple):
    """One batch; several runs' stand side by side on an axis in front.

    Attributes:
        wave: Float32 [b t], samples; no row is padded.
        length: Int32 [b], t of every row.
        label: Int32 [b n], of each frame.
    """

    wave: Float32[np.ndarray, "*k b t"]
    length: Int32[np.ndarray, "*k b"]
    label: Int32[np.ndarray, "*k b n"]


def plan(
    lengths: Int[np.ndarray, "clips"],
    grid: FrameGrid,
    *,
    only: Sequence[int] | None = None,
    seconds: float = 87.5,
    shortest: float = 1.0,
    longest: float = 15.6,
    devices: int = 1,
    parts: int = 1,
    shapes: int = SHAPES,
) -> tuple[Shape, ...]:
    """Sort clips into batches of few lengths.

    Lengths are those of the clips that stand at even steps in the order of length, so that a batch holds clips of
    about one length, and each is cropped to the shortest that its batch may hold. Clips shorter than `shortest` are
    left out; of clips longer than `longest` a stretch is taken.

    Args:
        lengths: samples of each clip.
        grid: places of the frames.
        only: clips that may be seen; by default all.
        seconds: of audio in a batch on each device.
        shortest: in s.
        longest: in s.
        devices: that share a batch.
        parts: into which a device's rows must fall evenly (gradient accumulation).
        shapes: lengths, at most.

    Raises:
        UserError: no clip is long enough, or all of them together are shorter than one batch.
    """
    frames = np.array([grid.frames(length) for length in np.minimum(lengths, round(longest * SAMPLE_RATE)).tolist()])
    seen = np.arange(len(frames)) if only is None else np.unique(np.asarray(only, np.int64))
    usable = seen[(np.asarray(lengths)[seen] >= shortest * SAMPLE_RATE) & (frames[seen] > 0)]
    if not len(usable):
        raise UserError(
            f"None of {len(seen)} clips is as long as {shortest:g} s; give longer ones or lower the shortest length."
        )
    audio = sum(grid.samples(count) for count in frames[usable].tolist()) / SAMPLE_RATE
    if audio < seconds * devices:
        raise UserError(
            f"The corpus holds {audio:.1f} s of clips of {shortest:g} s and more, less than one batch of "
            f"{seconds * devices:g} s; give more recordings, or lower the seconds of a batch."
        )
    ordered = usable[np.argsort(frames[usable], kind="stable")]
    steps = np.unique(frames[ordered[np.arange(shapes) * len(ordered) // shapes]])
    place = np.searchsorted(steps, frames[ordered], side="right") - 1
    return tuple(
        Shape(
            frames=count,
            rows=max(1, int(seconds * SAMPLE_RATE // grid.samples(count)) // parts) * parts * devices,
            clips=tuple(ordered[place == number].tolist()),
        )
        for number, count in enumerate(steps.tolist())
    )


def labelled_batches(
    clips: Clips,
    labels: Sequence[Integer[np.ndarray, "_"]],
    shapes: Sequence[Shape],
    grid: FrameGrid,
    *,
    seed: tuple[int, ...],
    updates: int,
    done: int = 0,
    only: frozenset[int] | None = None,
    own_rows: Callable[[int], slice] = lambda _: ALL,
    read: grain.ReadOptions = READ,
) -> Iterator[LabelledBatch]:
    """Return the batches of a run from update number `done` on.

    Which clips a batch holds, and where they are cropped, follows from the seed and the batch's number alone. Every
    clip comes as often as any other: a shape's clips are gone through in random order again and again.

    Args:
        clips: the store.
        labels: of each clip of the store.
        shapes: as `plan` made them.
        grid: places of the frames.
        seed: not negative. The first number decides the order of the shapes, which runs side by side must share.
        updates: of the whole run.
        done: updates made already.
        only: clips that the run may see; by default all of the shapes'.
        own_rows: rows to read of a batch of so many, where other processes read the others.
        read: threads and batches ahead.

    Raises:
        UserError: it may see no clips of some length.
    """
    allowed = shapes if only is None else _only(shapes, only)
    # Of each shape so many batches that its clips come as often as those of others.
    share = np.cumsum([len(shape.clips) / shape.rows for shape in shapes])
    counts = np.diff(np.rint(updates * share / share[-1]).astype(int), prepend=0)
    drawn = np.random.default_rng([seed[0], 0]).permutation(np.repeat(np.arange(len(shapes)), counts))
    turn = np.zeros(updates, np.int64)
    for number in range(len(shapes)):
        turn[drawn == number] = np.arange(counts[number])

    def one(update: int) -> LabelledBatch:
        number = int(drawn[update])
        shape = allowed[number]
        rng = np.random.default_rng([*seed, 1, update])
        chosen = _round_robin(shape, int(turn[update]), (*seed, 2, number))
        counts = np.array([len(labels[clip]) for clip in chosen])
        starts = rng.integers(counts - shape.frames + 1)
        rows = own_rows(shape.rows)
        chosen, starts = chosen[rows], starts[rows]
        samples = grid.samples(shape.frames)
        wave = np.empty((len(chosen), samples), np.float32)
        label = np.empty((len(chosen), shape.frames), np.int32)
        waves = read_clips(clips, chosen.tolist())
        for row, (clip, start, whole) in enumerate(zip(chosen.tolist(), starts.tolist(), waves, strict=True)):
            # A crop begins with a frame, so that its labels are those of exactly these samples.
            wave[row] = whole[grid.hop_length * start :][:samples]
            label[row] = labels[clip][start : start + shape.frames]
        return LabelledBatch(wave, np.full(len(chosen), samples, np.int32), label)

    return iter(grain.MapDataset.range(done, updates).map(one).to_iter_dataset(read))


def side_by_side(runs: Sequence[Iterator[LabelledBatch]]) -> Iterator[LabelledBatch]:
    """Yield the runs' batches with a leading axis; the first number of their seeds must be the same."""
    for batches in zip(*runs, strict=True):
        yield LabelledBatch(*map(np.stack, zip(*batches, strict=True)))


def _only(shapes: Sequence[Shape], allowed: frozenset[int]) -> list[Shape]:
    kept = [shape._replace(clips=tuple(clip for clip in shape.clips if clip in allowed)) for shape in shapes]
    empty = [shape for shape in kept if not shape.clips]
    if empty:
        raise UserError(
            f"A held-out part leaves no clips of about {empty[0].frames} frames to train on; ask for fewer lengths of "
            "batches, or train the parts one after the other."
        )
    return kept


def _round_robin(shape: Shape, turn: int, seed: tuple[int, ...]) -> Int[np.ndarray, "b"]:
    """Return the clips of a shape's batch number `turn`, as they follow each other in endless random orders."""
    size = len(shape.clips)
    first, last = turn * shape.rows // size, ((turn + 1) * shape.rows - 1) // size
    orders = [np.random.default_rng([*seed, lap]).permutation(shape.clips) for lap in range(first, last + 1)]
    start = turn * shape.rows - first * size
    return np.concatenate(orders)[start : start + shape.rows]
