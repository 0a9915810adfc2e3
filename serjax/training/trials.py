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
from serjax.data.targets import Targets
from serjax.evaluation.tasks import places
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


EFFECTIVE_BETA = 0.999
"""Of the effective number of clips (Cui et al. 2019, section 6.1, who try 0.9 to 0.9999)."""


def class_weights(labels: Int[np.ndarray, "clips"], classes: int) -> Float[np.ndarray, "c"]:
    """Return inverse class frequencies with a mean of 1 over the clips (scikit-learn's `balanced`)."""
    return _inverse(np.bincount(labels, minlength=classes).astype(float)).astype(np.float32)


def balanced(counts: Float[np.ndarray, "c"], balance: str) -> Float[np.ndarray, "c"]:
    """Return weights of classes with so many clips, with a mean of 1 over the clips.

    Args:
        counts: of each class, in clips or sums of shares.
        balance: weights: inverse frequencies. effective: inverse effective numbers (1 - beta^n) / (1 - beta).
    """
    if balance == "weights":
        return _inverse(counts).astype(np.float32)
    if balance != "effective":
        return np.ones(len(counts), np.float32)
    weights = (1 - EFFECTIVE_BETA) / np.maximum(1 - EFFECTIVE_BETA ** np.maximum(counts, 1), 1e-12)
    return (weights * counts.sum() / np.maximum((weights * counts).sum(), 1e-12)).astype(np.float32)


def _inverse(counts: Float[np.ndarray, "c"]) -> Float[np.ndarray, "c"]:
    return counts.sum() / (len(counts) * np.maximum(counts, 1))


def trial_key(seed: int, trial: Trial) -> jax.Array:
    """Return a trial's random key: of the experiment's seed, the repeat and the fold, not of its neighbours."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), trial.seed), trial.fold)


def trial_constants(
    trials: Sequence[Trial],
    labels: Int[np.ndarray, "clips"],
    classes: int,
    train: TrainConfig,
    seed: int,
    targets: Targets | None = None,
) -> TrialConstants:
    """Return every trial's constants, stacked on the host.

    Args:
        trials: of each, one entry.
        labels: class of every clip of the store.
        classes: how many there are.
        train: batch size, epochs and balance.
        seed: of the experiment.
        targets: where they are other than one class.
    """
    shares = None
    if targets is None:
        counts = [np.bincount(labels[list(trial.train)], minlength=classes).astype(float) for trial in trials]
        weights = [balanced(one, train.balance) for one in counts]
    else:
        weights, found = zip(*(_of_outputs(targets, trial, train.balance) for trial in trials), strict=True)
        shares = jnp.stack(found)
    steps = [steps_per_epoch(len(trial.train), train.batch_size) * train.epochs for trial in trials]
    return TrialConstants(
        key=jnp.stack([trial_key(seed, trial) for trial in trials]),
        steps=jnp.array(steps, jnp.int32),
        peak=jnp.array([trial.peak for trial in trials], jnp.float32),
        class_weight=jnp.stack(weights),
        log_share=shares,
        values={
            name: jnp.array([dict(trial.values)[name] for trial in trials], jnp.float32) for name, _ in trials[0].values
        },
    )


def _of_outputs(targets: Targets, trial: Trial, balance: str) -> tuple[Float[np.ndarray, "c"], Float[np.ndarray, "c"]]:
    """Return weights of all outputs, and logarithms of the classes' shares; 1 and 0 for outputs that are no classes."""
    weights, shares = [], []
    for task, place in zip(targets.tasks, places(targets.tasks), strict=True):
        counts = np.nansum(targets.values[list(trial.train), place].astype(float), 0)
        classes = task.kind in ("class", "soft")
        weights.append(balanced(counts, balance if classes else "nothing"))
        shares.append(np.log(np.maximum(counts, 0.5) / max(counts.sum(), 1)) if classes else np.zeros(len(counts)))
    return np.concatenate(weights), np.concatenate(shares).astype(np.float32)


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
