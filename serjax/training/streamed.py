"""An engine that trains whole models on clips streamed from the store."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Bool, Float, Int

from serjax.audio.config import AugmentConfig
from serjax.data.batching.batches import (
    Batch,
    Clips,
    Frames,
    eval_batches,
    read_ahead,
    stack,
    steps_per_epoch,
    train_batches,
)
from serjax.data.batching.lengths import Crop
from serjax.models.base import Modality
from serjax.models.functional import Params
from serjax.models.inputs import Inputs
from serjax.training.classification import LabelledInputs, make_step, probabilities
from serjax.training.config import OptimizerConfig, TrainConfig
from serjax.training.dispatch import LateMetrics
from serjax.training.fold_axis import BATCH, FOLD, SHARED, FoldAxis, PerFold
from serjax.training.optimizer import make_optimizer
from serjax.training.trials import Trial, last_rates, trial_constants

Tick = Callable[[int], None]
"""Called with the number of clips that a step has just read, for the progress bar."""


class StreamedEngine:
    """Reads each trial's batches side by side and feeds them to one compiled step."""

    def __init__(
        self,
        graphdef: nnx.GraphDef[Any],
        params: Params,
        frozen: Params,
        trials: Sequence[Trial],
        clips: Clips,
        labels: Int[np.ndarray, "clips"],
        classes: int,
        axis: FoldAxis,
        *,
        train: TrainConfig,
        optimizer: OptimizerConfig,
        augment: AugmentConfig,
        dtype: str,
        seed: int,
        samples: int,
        crop: Crop,
        shared: bool = True,
        frames: Frames | None = None,
    ) -> None:
        """Compile nothing yet.

        Args:
            graphdef: of the model.
            params: one trial's trainable state (abstract will do), for the shape of groups.
            frozen: what is not trained: one state that all trials share, or a state a trial.
            trials: what is trained side by side.
            clips: the store.
            labels: class of every clip of the store.
            classes: how many there are.
            axis: of the trials.
            train: batches and loss.
            optimizer: of what is trained.
            augment: mixup.
            dtype: what to compute in.
            seed: of the experiment; decides order and crops.
            samples: length of a row.
            crop: part of a longer clip that is used in validation and test.
            shared: whether `frozen` is one state for all.
            frames: video of every clip of the store, for models that take it.
        """
        self.trials, self.clips, self.labels, self.classes = trials, clips, labels, classes
        self.axis, self.frames = axis, frames
        self.train, self.seed, self.samples, self.crop = train, seed, samples, crop
        self.constants = axis.shard(trial_constants(trials, labels, classes, train, seed))
        self.frozen = axis.replicate(frozen) if shared else frozen
        role = SHARED if shared else FOLD
        # For its names alone: with states one after the other, those of the first trial.
        still = frozen[0] if isinstance(frozen, list) else frozen
        self.optimizer = make_optimizer(optimizer, params, still)
        step = make_step(graphdef, params, still, train=train, optimizer=optimizer, augment=augment, dtype=dtype)
        self._step = axis.jit_step(step, (FOLD, BATCH, FOLD, role))
        self._predict = axis.jit(partial(probabilities, graphdef=graphdef, dtype=dtype), (FOLD, BATCH, role), BATCH)

    def epoch_clips(self, active: Bool[np.ndarray, "k"]) -> int:
        """Return how many clips an epoch reads for the active trials."""
        return sum(len(trial.train) for trial, on in zip(self.trials, active, strict=True) if on)

    def train_epoch(
        self, state: PerFold, epoch: int, active: Bool[np.ndarray, "k"], tick: Tick
    ) -> tuple[PerFold, Float[np.ndarray, "k"], Float[np.ndarray, "k"]]:
        """Train every active trial for one epoch; return the state, the mean losses and the last learning rates."""
        size = self.train.batch_size
        counts = [steps_per_epoch(len(trial.train), size) for trial in self.trials]
        streams = [
            iter(
                train_batches(
                    self.clips,
                    self.labels,
                    trial.train,
                    batch_size=size,
                    samples=self.samples,
                    seed=(self.seed, trial.seed, trial.fold, epoch),
                    sampling="balanced" if self.train.balance == "sampling" else "shuffle",
                    frames=self.frames,
                )
            )
            if on
            else iter(())
            for trial, on in zip(self.trials, active, strict=True)
        ]
        metrics = LateMetrics(self.axis)
        steps = max(count for count, on in zip(counts, active, strict=True) if on)

        def batches() -> Iterator[tuple[Bool[np.ndarray, "k"], Batch]]:
            for number in range(steps):
                now = np.array([on and number < count for on, count in zip(active, counts, strict=True)])
                yield now, _side_by_side([next(s) if on else None for s, on in zip(streams, now, strict=True)])

        for now, batch in read_ahead(batches()):
            inputs = self.axis.shard(LabelledInputs._make((self._inputs(batch), batch.label, batch.weight)), BATCH)
            state, new = self._step(now, state, inputs, self.constants, self.frozen)
            metrics.add(new)
            tick(int((batch.weight * now[:, None]).sum()))
        total = jax.tree.map(lambda *x: np.stack(x, axis=1), *metrics.take())
        made = np.arange(steps) < np.array(counts)[:, None]
        loss = (total["loss"] * made).sum(1) / np.maximum((total["weight"] * made).sum(1), 1e-9)
        return state, loss, last_rates(total["rate"], self.trials, size)

    def _inputs(self, batch: Batch, without: Modality | None = None) -> Inputs:
        """Return what the model is called with; the modality it goes without has lengths of 0."""
        length = np.zeros_like(batch.length) if without == "sound" else batch.length
        video_length = np.zeros_like(batch.length) if without == "video" else batch.video_length
        return Inputs(batch.wave, length, batch.video, video_length)

    def predict(self, params: PerFold, part: str, without: Modality | None = None) -> list[Float[np.ndarray, "_ c"]]:
        """Return each trial's class probabilities for its own clips of `validation` or `test`, in their order.

        Args:
            params: of each trial.
            part: whose clips.
            without: modality that a model of sound and video does not get.
        """
        parts = [trial.clips(part) for trial in self.trials]
        results = [np.zeros((len(clips), self.classes), np.float32) for clips in parts]
        size = self.train.batch_size
        streams = [
            iter(
                eval_batches(
                    self.clips,
                    self.labels,
                    clips,
                    batch_size=size,
                    samples=self.samples,
                    crop=self.crop,
                    frames=self.frames,
                )
            )
            for clips in parts
        ]
        for start, batches, batch in read_ahead(_in_step(streams, size)):
            inputs = self.axis.shard(self._inputs(batch, without), BATCH)
            probability = self.axis.gather(self._predict(params, inputs, self.frozen))
            for k, one in enumerate(batches):
                if one is not None:
                    rows = one.weight > 0
                    results[k][start : start + int(rows.sum())] = probability[k][rows]
        return results


def _in_step(streams: list[Iterator[Batch]], size: int) -> Iterator[tuple[int, list[Batch | None], Batch]]:
    """Yield the position of the first clip, the streams' batches, and them side by side, until all have ended."""
    for start in itertools.count(0, size):
        batches = [next(stream, None) for stream in streams]
        if all(batch is None for batch in batches):
            return
        yield start, batches, _side_by_side(batches)


def _side_by_side(batches: Sequence[Batch | None]) -> Batch:
    """Stack the trials' batches; a trial without one gets its neighbour's, which nobody looks at."""
    some = next(batch for batch in batches if batch is not None)
    return stack([batch or some for batch in batches])
