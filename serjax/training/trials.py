"""Trials, which train side by side: one fold with one seed at one learning rate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from serjax.data.batching.batches import steps_per_epoch
from serjax.data.config import FoldsConfig
from serjax.data.folds.fold import Fold
from serjax.data.folds.make import chosen_folds
from serjax.training.config import OptimizerConfig, TrainConfig
from serjax.training.update import TrialConstants

VALUES = (
    "optimizer.min_lr",
    "optimizer.warmup",
    "optimizer.weight_decay",
    "optimizer.beta2",
    "optimizer.epsilon",
    "optimizer.clip_norm",
    "train.label_smoothing",
)
"""Settings that can differ between trials that one program trains: numbers that change no shape."""

Settings = TypeVar("Settings", OptimizerConfig, TrainConfig)


@dataclass(frozen=True)
class Trial:
    """One entry of the leading axis.

    Attributes:
        fold: number of the fold, from 1.
        seed: which repeat, from 0.
        peak: peak learning rate.
        train: clips (positions in the store) to learn from.
        validation: clips that early stopping watches.
        test: clips that are scored at the end.
        run: number of the run that it belongs to, of those that train side by side.
        values: settings of that run, where they differ between runs; names are of `VALUES`.
    """

    fold: int
    seed: int
    peak: float
    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]
    run: int = 0
    values: tuple[tuple[str, float], ...] = ()

    def clips(self, part: str) -> tuple[int, ...]:
        """Return the clips of `train`, `validation` or `test`."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[part]


def class_weights(labels: Int[np.ndarray, "clips"], classes: int) -> Float[np.ndarray, "c"]:
    """Return inverse class frequencies with a mean of 1 over the clips (scikit-learn's `balanced`)."""
    counts = np.bincount(labels, minlength=classes)
    return (len(labels) / (classes * np.maximum(counts, 1))).astype(np.float32)


def trial_key(seed: int, trial: Trial) -> jax.Array:
    """Return a trial's random key: of the experiment's seed, the repeat and the fold, not of its neighbours."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), trial.seed), trial.fold)


def trial_constants(
    trials: Sequence[Trial], labels: Int[np.ndarray, "clips"], classes: int, train: TrainConfig, seed: int
) -> TrialConstants:
    """Return every trial's constants, stacked on the host.

    Args:
        trials: of each, one entry.
        labels: class of every clip of the store.
        classes: how many there are.
        train: batch size, epochs and balance.
        seed: of the experiment.
    """
    weights = [
        class_weights(labels[list(trial.train)], classes)
        if train.balance == "weights"
        else np.ones(classes, np.float32)
        for trial in trials
    ]
    steps = [steps_per_epoch(len(trial.train), train.batch_size) * train.epochs for trial in trials]
    return TrialConstants(
        key=jnp.stack([trial_key(seed, trial) for trial in trials]),
        steps=jnp.array(steps, jnp.int32),
        peak=jnp.array([trial.peak for trial in trials], jnp.float32),
        class_weight=jnp.stack(weights),
        values={
            name: jnp.array([dict(trial.values)[name] for trial in trials], jnp.float32) for name, _ in trials[0].values
        },
    )


def with_values(settings: Settings, part: str, values: Mapping[str, Any] | None) -> Settings:
    """Return settings of `part`, such as `optimizer`, with a trial's own values; they may be traced."""
    named = (values or {}).items()
    return replace(settings, **{name.partition(".")[2]: value for name, value in named if name.startswith(f"{part}.")})


def make_trials(
    folds: Sequence[Fold], chosen: FoldsConfig, train: TrainConfig, optimizer: OptimizerConfig, default_rate: float
) -> list[Trial]:
    """Return every fold, seed and learning rate that is to be trained.

    Args:
        folds: of the corpus.
        chosen: which of them are trained.
        train: seeds and learning rates.
        optimizer: peak learning rate, where train gives none.
        default_rate: peak learning rate where neither gives one.

    Raises:
        UserError: folds.only names a fold that there is not.
    """
    folds = chosen_folds(folds, chosen.only)
    peak = optimizer.max_lr or default_rate
    return [
        Trial(fold.number, seed, rate, fold.train, fold.validation, fold.test)
        for seed in range(train.seeds)
        for rate in train.learning_rates or (peak,)
        for fold in folds
    ]
