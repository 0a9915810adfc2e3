"""An engine that trains whole models on clips streamed from the store."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

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
from serjax.data.batching.channel import Channel
from serjax.data.batching.lengths import Crop
from serjax.data.target_config import ONE_CLASS, TargetConfig
from serjax.data.targets import Targets
from serjax.models.base import Modality
from serjax.models.functional import Params
from serjax.models.inputs import Inputs
from serjax.runtime.preemption import stop_asked
from serjax.training.classification import LabelledInputs, make_step, probabilities
from serjax.training.config import OptimizerConfig, TrainConfig
from serjax.training.dispatch import LateMetrics
from serjax.training.epoch_sums import EpochSums
from serjax.training.fold_axis import BATCH, FOLD, SHARED, FoldAxis, PerFold
from serjax.training.optimizer import make_optimizer
from serjax.training.several_tasks import objective_of
from serjax.training.trials import Trial, trial_constants

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
        targets: Targets | None = None,
        target: TargetConfig = ONE_CLASS,
        channel: Channel | None = None,
    ) -> None:
        """Compile nothing yet.

        Args:
            graphdef: of the model.
            params: one trial's trainable state (abstract will do), for the shape of groups.
            frozen: what is not trained: one state that all trials share, or a state a trial.
            trials: what is trained side by side.
            clips: the store.
            labels: class of every clip of the store.
            classes: number of outputs.
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
            targets: of every clip of the store, where they are other than one class.
            target: their loss.
            channel: codecs and babble of training.
        """
        self.trials, self.clips, self.labels, self.classes = trials, clips, labels, classes
        self.axis, self.frames, self.targets, self.channel = axis, frames, targets, channel
        self._filler: Batch | None = None
        self.train, self.seed, self.samples, self.crop = train, seed, samples, crop
        self.constants = axis.shard(trial_constants(trials, labels, classes, train, seed, targets))
        self.frozen = axis.replicate(frozen) if shared else frozen
        role = SHARED if shared else FOLD
        # For its names alone: with states one after the other, those of the first trial.
        still = frozen[0] if isinstance(frozen, list) else frozen
        self.optimizer = make_optimizer(optimizer, params, still)
        settings: dict[str, Any] = {"dtype": dtype, "gather": axis.gather_params}
        objective, activate = objective_of(targets, target, augment, dtype)
        step = make_step(
            graphdef, params, still, train=train, optimizer=optimizer, augment=augment, objective=objective, **settings
        )
        self._step = axis.jit_step(step, (FOLD, BATCH, FOLD, role))
        call = partial(probabilities, graphdef=graphdef, activate=activate, **settings)
        self._predict = axis.jit(call, (FOLD, BATCH, role), BATCH)

    def epoch_clips(self, active: Bool[np.ndarray, "k"]) -> int:
        """Return how many clips an epoch reads for the active trials."""
        return sum(len(trial.train) for trial, on in zip(self.trials, active, strict=True) if on)

    def train_epoch(
        self, state: PerFold, epoch: int, active: Bool[np.ndarray, "k"], sums: EpochSums, tick: Tick
    ) -> tuple[PerFold, EpochSums]:
        """Train every active trial for the rest of an epoch; return the state and the sums of its steps.

        Where the program is asked to stop, the sums say after which step it did.
        """
        size, begun = self.train.batch_size, sums.step
        counts = np.array([steps_per_epoch(len(trial.train), size) for trial in self.trials])
        steps = int(counts[active].max())
        streams = {
            k: iter(
                train_batches(
                    self.clips,
                    self.labels,
                    self.trials[k].train,
                    batch_size=size,
                    samples=self.samples,
                    seed=(self.seed, self.trials[k].seed, self.trials[k].fold, epoch),
                    sampling="balanced" if self.train.balance == "sampling" else "shuffle",
                    frames=self.frames,
                    channel=self.channel,
                    rows=self.axis.own_rows(size),
                    first=begun,
                )
            )
            for k in self.axis.own
            if active[k]
        }
        metrics = LateMetrics(self.axis)

        def batches() -> Iterator[tuple[Bool[np.ndarray, "k"], Batch]]:
            for number in range(begun, steps):
                now = active & (number < counts)
                yield now, self._side_by_side({k: next(stream) for k, stream in streams.items() if now[k]})

        step = begun
        for now, batch in read_ahead(batches()):
            target = None if self.targets is None else self.targets.values[batch.clip]
            inputs = LabelledInputs(self._inputs(batch), batch.label, batch.weight, target)
            state, new = self._step(now, state, self.axis.feed(inputs), self.constants, self.frozen)
            metrics.add(new)
            tick(sum(min(size, len(t.train) - step * size) for t, on in zip(self.trials, now, strict=True) if on))
            step += 1
            if stop_asked() and step < steps:
                break
        made = active[:, None] & (np.arange(begun, step) < counts[:, None])
        return state, sums.plus(metrics.take(), made, complete=step == steps)

    def _inputs(self, batch: Batch, without: Modality | None = None) -> Inputs:
        """Return what the model is called with; the modality it goes without has lengths of 0."""
        length = np.zeros_like(batch.length) if without == "sound" else batch.length
        video_length = np.zeros_like(batch.length) if without == "video" else batch.video_length
        return Inputs(batch.wave, length, batch.video, video_length)

    def predict(self, params: PerFold, part: str, without: Modality | None = None) -> list[Float[np.ndarray, "_ c"]]:
        """Return each trial's answers for its own clips of `validation` or `test`, in their order.

        Args:
            params: of each trial.
            part: whose clips.
            without: modality that a model of sound and video does not get.
        """
        parts = [trial.clips(part) for trial in self.trials]
        results = [np.zeros((len(clips), self.classes), np.float32) for clips in parts]
        size = self.train.batch_size
        streams = {
            k: iter(
                eval_batches(
                    self.clips,
                    self.labels,
                    parts[k],
                    batch_size=size,
                    samples=self.samples,
                    crop=self.crop,
                    frames=self.frames,
                    rows=self.axis.own_rows(size),
                )
            )
            for k in self.axis.own
        }

        def batches() -> Iterator[tuple[int, Batch]]:
            for start in range(0, max(map(len, parts)), size):
                yield start, self._side_by_side({k: next(s) for k, s in streams.items() if start < len(parts[k])})

        for start, batch in read_ahead(batches()):
            inputs = self.axis.feed(self._inputs(batch, without))
            probability = self.axis.gather(self._predict(params, inputs, self.frozen))
            for result, rows in zip(results, probability, strict=True):
                rest = result[start : start + size]
                rest[:] = rows[: len(rest)]
        return results

    def _side_by_side(self, batches: Mapping[int, Batch]) -> Batch:
        """Stack this process's batches; a trial without one gets its neighbour's, which nobody looks at."""
        some = next(iter(batches.values()), None)
        if some is None:
            if self._filler is None:
                # Other processes still have some: any clips will do.
                self._filler = next(
                    iter(
                        eval_batches(
                            self.clips,
                            self.labels,
                            self.trials[0].train,
                            batch_size=self.train.batch_size,
                            samples=self.samples,
                            frames=self.frames,
                            rows=self.axis.own_rows(self.train.batch_size),
                        )
                    )
                )
            some = self._filler
        return stack([batches.get(k, some) for k in self.axis.own])
