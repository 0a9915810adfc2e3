"""An engine that trains whole models on clips streamed from the store."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Literal

import jax
import numpy as np
from flax import nnx
from jaxtyping import Bool, Float, Int

from serjax.audio import SAMPLE_RATE
from serjax.config.experiment import Experiment
from serjax.data.batching.batches import Batch, Clips, eval_batches, stack, steps_per_epoch, train_batches
from serjax.models.functional import Params
from serjax.models.inputs import Inputs
from serjax.training.classification import LabelledInputs
from serjax.training.fold_axis import FoldAxis, PerFold
from serjax.training.jobs import Job, last_rates, runs
from serjax.training.optimizer import rate_factors
from serjax.training.update import predict_step, train_step

Beside = Callable[[Int[np.ndarray, "*k b"]], tuple[np.ndarray, ...]]
"""Returns what a model sees of clips beside their sound, such as frames of video, each array with the axes of the clips
in front."""

Hidden = Literal["sound", "video"] | None
"""What is kept from a model that looks at both."""

Tick = Callable[[int], None]
"""Called with the number of clips that a step has just read, for the progress bar."""


class StreamedEngine:
    """Reads each job's batches side by side and feeds them to one compiled step."""

    def __init__(
        self,
        graphdef: nnx.GraphDef[Any],
        params: Params,
        frozen: Params,
        jobs: Sequence[Job],
        clips: Clips,
        labels: Int[np.ndarray, "clips"],
        classes: int,
        experiment: Experiment,
        axis: FoldAxis,
        *,
        shared: bool = True,
        beside: Beside = lambda clips: (),
    ) -> None:
        """Compile nothing yet.

        Args:
            graphdef: of the model.
            params: one job's trainable state (abstract will do), for the shape of groups.
            frozen: what is not trained: one state that all jobs share, or a state a job.
            jobs: what is trained side by side.
            clips: the store.
            labels: class of every clip of the store.
            classes: how many there are.
            experiment: batches, optimizer, loss.
            axis: of the jobs.
            shared: whether `frozen` is one state for all.
            beside: what the model sees beside sound.
        """
        self.jobs, self.clips, self.labels, self.classes = jobs, clips, labels, classes
        self.experiment, self.axis, self.beside = experiment, axis, beside
        self.samples = round(experiment.data.max_seconds * SAMPLE_RATE)
        self.run = axis.put(runs(jobs, labels, classes, experiment))
        self.frozen = axis.share(frozen) if shared else frozen
        role = "s" if shared else "k"
        factors = rate_factors(params, experiment.optimizer.groups)
        step = partial(train_step, graphdef=graphdef, experiment=experiment, factors=factors)
        self._step = axis.jit_step(step, f"kbk{role}")
        self._predict = axis.jit(
            partial(predict_step, graphdef=graphdef, dtype=experiment.model.dtype), f"kb{role}", "b"
        )

    def epoch_clips(self, active: Bool[np.ndarray, "k"]) -> int:
        """Return how many clips an epoch reads for the active jobs."""
        return sum(len(job.train) for job, on in zip(self.jobs, active, strict=True) if on)

    def train_epoch(
        self, state: PerFold, epoch: int, active: Bool[np.ndarray, "k"], tick: Tick
    ) -> tuple[PerFold, Float[np.ndarray, "k"], Float[np.ndarray, "k"]]:
        """Train every active job for one epoch; return the state, the mean losses and the last learning rates."""
        size = self.experiment.train.batch_size
        counts = [steps_per_epoch(len(job.train), size) for job in self.jobs]
        streams = [
            iter(
                train_batches(
                    self.clips,
                    self.labels,
                    job.train,
                    batch_size=size,
                    samples=self.samples,
                    seed=(self.experiment.seed, job.seed, job.fold, epoch),
                    sampling="balanced" if self.experiment.train.balance == "sampling" else "shuffle",
                )
            )
            if on
            else iter(())
            for job, on in zip(self.jobs, active, strict=True)
        ]
        metrics: list[PerFold] = []
        steps = max(count for count, on in zip(counts, active, strict=True) if on)
        for number in range(steps):
            now = np.array([on and number < count for on, count in zip(active, counts, strict=True)])
            batch = _side_by_side([next(s) if on else None for s, on in zip(streams, now, strict=True)])
            inputs = self.axis.put(LabelledInputs._make((self._inputs(batch), batch.label, batch.weight)), "b")
            state, new = self._step(now, state, inputs, self.run, self.frozen)
            metrics.append(new)
            if number:
                # Waiting for the step before this one keeps the device busy and the queue short.
                jax.block_until_ready(metrics[-2])
            tick(int((batch.weight * now[:, None]).sum()))
        total = jax.tree.map(lambda *x: np.stack(x, axis=1), *map(self.axis.get, metrics))
        made = np.arange(steps) < np.array(counts)[:, None]
        loss = (total.loss * made).sum(1) / np.maximum((total.weight * made).sum(1), 1e-9)
        return state, loss, last_rates(total.rate, self.jobs, size)

    def _inputs(self, batch: Batch, without: Hidden = None) -> Inputs:
        """Return what the model is called with; what is hidden has a length of 0."""
        length = np.zeros_like(batch.length) if without == "sound" else batch.length
        inputs = Inputs._make((batch.wave, length, *self.beside(batch.clip), *[None] * 5)[:7])
        if without == "video":
            inputs = inputs._replace(video_lengths=np.zeros(batch.clip.shape, np.int32))
        return inputs

    def predict(self, params: PerFold, part: str, without: Hidden = None) -> list[Float[np.ndarray, "clips c"]]:
        """Return each job's class probabilities for its own clips of `validation` or `test`, in their order.

        Args:
            params: of each job.
            part: whose clips.
            without: what a model that looks at sound and video is not to have.
        """
        parts = [job.clips(part) for job in self.jobs]
        results = [np.zeros((len(clips), self.classes), np.float32) for clips in parts]
        size = self.experiment.train.batch_size
        streams = [
            iter(
                eval_batches(
                    self.clips,
                    self.labels,
                    clips,
                    batch_size=size,
                    samples=self.samples,
                    crop=self.experiment.data.eval_crop,
                )
            )
            for clips in parts
        ]
        for start, batches in _in_step(streams, size):
            batch = _side_by_side(batches)
            inputs = self.axis.put(self._inputs(batch, without), "b")
            probability = self.axis.get(self._predict(params, inputs, self.frozen))
            for k, one in enumerate(batches):
                if one is not None:
                    rows = one.weight > 0
                    results[k][start : start + int(rows.sum())] = probability[k][rows]
        return results


def _in_step(streams: list[Iterator[Batch]], size: int) -> Iterator[tuple[int, list[Batch | None]]]:
    """Yield the streams' batches side by side, with the position of their first clip, until all have ended."""
    for start in itertools.count(0, size):
        batches = [next(stream, None) for stream in streams]
        if all(batch is None for batch in batches):
            return
        yield start, batches


def _side_by_side(batches: Sequence[Batch | None]) -> Batch:
    """Stack the jobs' batches; a job without one gets its neighbour's, which nobody looks at."""
    some = next(batch for batch in batches if batch is not None)
    return stack([batch or some for batch in batches])
