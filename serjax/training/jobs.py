"""What is trained side by side: a job is one fold, with one seed, at one learning rate."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from serjax.config.experiment import Experiment
from serjax.data.batching.batches import steps_per_epoch
from serjax.data.folds.fold import Fold
from serjax.data.folds.make import chosen_folds
from serjax.training.update import Run


@dataclass(frozen=True)
class Job:
    """One entry of the leading axis.

    Attributes:
        fold: number of the fold, from 1.
        seed: which repeat, from 0.
        peak: peak learning rate.
        train: clips (positions in the store) to learn from.
        validation: clips that early stopping watches.
        test: clips that are scored at the end.
    """

    fold: int
    seed: int
    peak: float
    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]

    def clips(self, part: str) -> tuple[int, ...]:
        """Return the clips of `train`, `validation` or `test`."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[part]


def last_rates(rate: Float[np.ndarray, "k s"], jobs: Sequence[Job], batch: int) -> Float[np.ndarray, "k"]:
    """Return each job's learning rate in its last step of an epoch, 0 for a job that made none."""
    last = [min(steps_per_epoch(len(job.train), batch), rate.shape[1]) - 1 for job in jobs]
    return rate[np.arange(len(jobs)), last]


def class_weights(labels: Int[np.ndarray, "clips"], classes: int) -> Float[np.ndarray, "c"]:
    """Return inverse class frequencies with a mean of 1 over the clips (scikit-learn's `balanced`)."""
    counts = np.bincount(labels, minlength=classes)
    return (len(labels) / (classes * np.maximum(counts, 1))).astype(np.float32)


def job_key(experiment: Experiment, job: Job) -> jax.Array:
    """Return the job's random key: of the seed, the repeat and the fold, not of which other jobs run."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(experiment.seed), job.seed), job.fold)


def runs(jobs: Sequence[Job], labels: Int[np.ndarray, "clips"], classes: int, experiment: Experiment) -> Run:
    """Return every job's key, length, rate and class weights, stacked on the host."""
    train = experiment.train
    weights = [
        class_weights(labels[list(job.train)], classes) if train.balance == "weights" else np.ones(classes, np.float32)
        for job in jobs
    ]
    steps = [steps_per_epoch(len(job.train), train.batch_size) * train.epochs for job in jobs]
    return Run(
        key=jnp.stack([job_key(experiment, job) for job in jobs]),
        steps=jnp.array(steps, jnp.int32),
        peak=jnp.array([job.peak for job in jobs], jnp.float32),
        class_weight=jnp.stack(weights),
    )


def make_jobs(experiment: Experiment, folds: Sequence[Fold]) -> list[Job]:
    """Return every fold, seed and learning rate that is to be trained.

    Raises:
        UserError: folds.only names a fold that there is not.
    """
    folds = chosen_folds(folds, experiment.folds.only)
    model = experiment.model
    peak = experiment.optimizer.max_lr or (5e-5 if model.pretrained else 1e-3)
    return [
        Job(fold.number, seed, rate, fold.train, fold.validation, fold.test)
        for seed in range(experiment.train.seeds)
        for rate in experiment.train.learning_rates or (peak,)
        for fold in folds
    ]
