"""An engine that trains heads on stored features, all of them on the device: an epoch is one compiled call."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from serjax.audio.config import AugmentConfig
from serjax.data.batching.batches import steps_per_epoch
from serjax.data.target_config import ONE_CLASS, TargetConfig
from serjax.data.targets import Targets
from serjax.models.functional import Params
from serjax.models.inputs import Features, Inputs
from serjax.runtime.platform import target_platform
from serjax.training.classification import LabelledInputs, make_step, probabilities
from serjax.training.config import OptimizerConfig, TrainConfig
from serjax.training.domain import OtherCorpus, TwoDomains, adapted, with_progress
from serjax.training.epoch_sums import EpochSums
from serjax.training.fold_axis import FOLD, SHARED, FoldAxis, PerFold
from serjax.training.optimizer import make_optimizer
from serjax.training.several_tasks import objective_of
from serjax.training.trials import Trial, class_weights, trial_constants
from serjax.training.update import TrainState, TrialConstants

CACHE = 8 << 20
"""Bytes of a CPU's cache that the states of heads may take."""
EPOCH_AXES = (FOLD, FOLD, FOLD, FOLD, SHARED, SHARED)
"""Axes of the arguments of an epoch; see `make_epoch`."""


def _stored(features: Features, clip: Int[Array, "b"]) -> Inputs:
    return Inputs(hidden_states=features.states[clip], hidden_lengths=features.frames[clip])


def labelled(features: Features, clip: Int[Array, "b"], weight: Float[Array, "b"]) -> LabelledInputs:
    """Return a batch of some clips."""
    target = None if features.target is None else features.target[clip]
    return LabelledInputs(_stored(features, clip), features.label[clip], weight, target)


def two_domains(features: Features, clip: Int[Array, "_"], weight: Float[Array, "b"]) -> TwoDomains:
    """Return a batch of some labelled clips, and as many of another corpus."""
    rows = len(weight)
    return TwoDomains(labelled(features, clip[:rows], weight), _stored(features, clip[rows:]))


def make_epoch(
    step: Callable[..., Any], read: Callable[..., Any] = labelled
) -> Callable[..., tuple[TrainState, dict[str, Array]]]:
    """Return an epoch of one trial: the update `step` (of `make_step`) for each of the batches that `read` returns."""

    def epoch(
        state: TrainState,
        clip: Int[Array, "s _"],
        weight: Float[Array, "s b"],
        constants: TrialConstants,
        features: Features,
        frozen: Params,
    ) -> Any:
        def body(state: TrainState, batch: tuple[Array, Array]) -> Any:
            clip, weight = batch
            new, metrics = step(state, read(features, clip, weight), constants, frozen)
            # Folds of fewer clips than the largest end the epoch with batches of nothing.
            return jax.tree.map(lambda a, b: jnp.where(weight.sum() > 0, a, b), new, state), metrics

        # XLA's CPU runs a compiled loop's body on one core; of one step there is no loop.
        return jax.lax.scan(body, state, (clip, weight), unroll=len(clip) == 1)

    return epoch


def heads_at_once(params: Params) -> int | None:
    """Return how many heads of such parameters a CPU trains at once; None on a GPU or TPU, which take all.

    A step reads and writes parameters, gradients and AdamW's moments, which should stay in the cache from one step to
    the next: 45 heads of 200,000 parameters all at once took 1.5 to 2 times as long.
    """
    if target_platform() != "cpu":
        return None
    return max(1, CACHE // (5 * sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(params))))


class ResidentEngine:
    """Trains every trial's head on features that all of them share."""

    def __init__(
        self,
        graphdef: nnx.GraphDef[Any],
        params: Params,
        frozen: Params,
        trials: Sequence[Trial],
        features: Features,
        classes: int,
        axis: FoldAxis,
        *,
        train: TrainConfig,
        optimizer: OptimizerConfig,
        augment: AugmentConfig,
        dtype: str,
        seed: int,
        targets: Targets | None = None,
        target: TargetConfig = ONE_CLASS,
        other: OtherCorpus | None = None,
        step_by_step: bool = False,
    ) -> None:
        """Place the features on the devices.

        Args:
            graphdef: of the model.
            params: one trial's trainable state (abstract will do), for the shape of groups.
            frozen: what is not trained, which all trials share.
            trials: what is trained side by side.
            features: of every clip of the store.
            classes: number of outputs.
            axis: of the trials.
            train: batches and loss.
            optimizer: of the heads.
            augment: mixup.
            dtype: what to compute in.
            seed: of the experiment; decides the order of clips.
            targets: of every clip of the store, where they are other than one class.
            target: their loss.
            other: clips without labels, behind the others in `features`, that heads are adapted to.
            step_by_step: layers with adapters are trained too, which use all cores of a CPU in a step alone.
        """
        self.step_by_step = step_by_step and target_platform() == "cpu"
        if targets is not None:
            features = features._replace(target=targets.values)
        self.trials, self.classes, self.axis = trials, classes, axis
        self.train, self.seed, self.other = train, seed, other
        self.labels = np.asarray(features.label)
        self.features, self.frozen = axis.replicate(features), axis.replicate(frozen)
        self.constants = axis.shard(trial_constants(trials, self.labels, classes, train, seed, targets))
        self.size = train.batch_size
        self.optimizer = make_optimizer(optimizer, params, frozen)
        objective, activate = objective_of(targets, target, augment, dtype)
        if other is not None:
            objective = partial(adapted, objective, other.config)
        settings: dict[str, Any] = {"optimizer": optimizer, "augment": augment, "dtype": dtype}
        step = make_step(graphdef, params, frozen, train=train, objective=objective, **settings)
        call = partial(probabilities, graphdef=graphdef, dtype=dtype, activate=activate)

        def predict(
            params: Params, clip: Int[Array, "s b"], features: Features, frozen: Params
        ) -> Float[Array, "s b c"]:
            if len(clip) == 1:
                return call(params, _stored(features, clip[0]), frozen)[None]
            return jax.lax.map(lambda c: call(params, _stored(features, c), frozen), clip)

        epoch = make_epoch(step) if other is None else make_epoch(with_progress(step), two_domains)
        block = None if self.step_by_step else heads_at_once(params)
        self._epoch = axis.jit_step(epoch, EPOCH_AXES, block)
        self._predict = axis.jit(predict, (FOLD, FOLD, SHARED, SHARED))

    def epoch_clips(self, active: Bool[np.ndarray, "k"]) -> int:
        """Return how many clips an epoch reads for the active trials."""
        return sum(len(trial.train) for trial, on in zip(self.trials, active, strict=True) if on)

    def _order(self, trial: Trial, epoch: int) -> Int[np.ndarray, "clips"]:
        """Return the epoch's clips in their random order; the same for all learning rates of a fold and seed."""
        rng = np.random.default_rng([self.seed, trial.seed, trial.fold, epoch])
        clips = np.array(trial.train)
        if self.train.balance != "sampling":
            return rng.permutation(clips)
        share = class_weights(self.labels[clips], self.classes)[self.labels[clips]]
        return rng.choice(clips, size=len(clips), p=share / share.sum())

    def _batches(self, rows: Sequence[Int[np.ndarray, "_"]]) -> tuple[np.ndarray, np.ndarray]:
        """Lay the trials' clips out as batches [k s b] of equal number, with weight 0 where there is no clip."""
        steps = max(steps_per_epoch(len(row), self.size) for row in rows)
        clip = np.zeros((len(rows), steps * self.size), np.int32)
        weight = np.zeros(clip.shape, np.float32)
        for k, row in enumerate(rows):
            clip[k, : len(row)], weight[k, : len(row)] = row, 1
        shape = (len(rows), steps, self.size)
        return clip.reshape(shape), weight.reshape(shape)

    def train_epoch(
        self,
        state: PerFold,
        epoch: int,
        active: Bool[np.ndarray, "k"],
        sums: EpochSums,
        tick: Callable[[int], None],
    ) -> tuple[PerFold, EpochSums]:
        """Train every active trial for one epoch; return the state and the sums of its steps."""
        clip, weight = self._batches([self._order(trial, epoch) for trial in self.trials])
        if self.other is not None:
            orders = [self.other.order([self.seed, t.seed, t.fold, epoch, 1], weight[0].size) for t in self.trials]
            clip = np.concatenate([clip, np.array(orders, np.int32).reshape(clip.shape)], axis=2)
        found = []
        for steps in self._portions(clip.shape[1]):
            inputs = self.axis.shard(clip[:, steps]), self.axis.shard(weight[:, steps])
            state, metrics = self._epoch(active, state, *inputs, self.constants, self.features, self.frozen)
            found.append(metrics)
        tick(self.epoch_clips(active))
        made = active[:, None] & (weight.sum(2) > 0)
        whole = jax.tree.map(lambda *parts: np.concatenate(parts, axis=1), *map(self.axis.gather, found))
        return state, sums.plus(whole, made, complete=True)

    def _portions(self, steps: int) -> list[slice]:
        """Return the steps of an epoch as they are computed: all at once, or one by one."""
        return [slice(s, s + 1) for s in range(steps)] if self.step_by_step else [slice(0, steps)]

    def predict(self, params: PerFold, part: str) -> list[Float[np.ndarray, "_ c"]]:
        """Return each trial's answers for its own clips of `validation` or `test`, in their order."""
        rows = [np.array(trial.clips(part), np.int32) for trial in self.trials]
        clip, _ = self._batches(rows)
        answers = [
            self.axis.gather(self._predict(params, self.axis.shard(clip[:, steps]), self.features, self.frozen))
            for steps in self._portions(clip.shape[1])
        ]
        probability = np.concatenate(answers, axis=1)
        return [probability[k].reshape(-1, self.classes)[: len(row)] for k, row in enumerate(rows)]
