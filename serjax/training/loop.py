"""Epochs: train, validate, keep each trial's best state, stop it when it no longer improves, save, go on."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Bool, Float, Int

from serjax.data.targets import Targets
from serjax.evaluation.history import VALIDATION_SCORE, validation_score
from serjax.evaluation.metrics import confusion, scores
from serjax.evaluation.task_scores import task_scores
from serjax.evaluation.tasks import places
from serjax.runtime.errors import UserError
from serjax.runtime.preemption import Terminated, stop_asked, stoppable
from serjax.training.config import TrainConfig
from serjax.training.epoch_sums import EpochSums
from serjax.training.fold_axis import FoldAxis, PerFold
from serjax.training.initialize import first_states, make_evaluated
from serjax.training.metric_log import Row
from serjax.training.resume import ResumePoint
from serjax.training.trials import Trial


class Engine(Protocol):
    """Trains all trials for an epoch and predicts their clips; see `streamed` and `resident`."""

    trials: Sequence[Trial]
    axis: FoldAxis
    optimizer: optax.GradientTransformation

    def epoch_clips(self, active: Bool[np.ndarray, "k"]) -> int:
        """Return how many clips an epoch reads."""

    def train_epoch(
        self,
        state: PerFold,
        epoch: int,
        active: Bool[np.ndarray, "k"],
        sums: EpochSums,
        tick: Callable[[int], None],
    ) -> tuple[PerFold, EpochSums]:
        """Return the state and the sums after the epoch, or after the step where the program was asked to stop."""

    def predict(self, params: PerFold, part: str) -> list[Float[np.ndarray, "_ c"]]:
        """Return each trial's class probabilities for its clips of a part."""


@dataclass(frozen=True)
class Fitted:
    """Parameters that training leaves, and where they were best.

    Attributes:
        best: parameters of the best epoch of each trial.
        last: parameters after the last epoch of each trial.
        best_epoch: that epoch, from 1.
        best_score: its validation macro-F1, 0 to 1.
        given_up: numbers of the runs that no trial of a fold was left of.
    """

    best: PerFold
    last: PerFold
    best_epoch: Int[np.ndarray, "k"]
    best_score: Float[np.ndarray, "k"]
    given_up: frozenset[int] = frozenset()


class Reporter(Protocol):
    """Progress of the loop, for a terminal and a log."""

    def begin(self, epoch: int, clips: int) -> Callable[[int], None]:
        """Start an epoch of so many clips; returns what is called with each step's clips."""

    def end(self, epoch: int, rows: list[tuple[int, Row]], notes: Sequence[str]) -> None:
        """Finish an epoch.

        Args:
            epoch: its number.
            rows: metrics of each trial that was active, with the number of its run.
            notes: sentences for the user.
        """


def fit(
    engine: Engine,
    params: PerFold,
    labels: Int[np.ndarray, "clips"],
    classes: int,
    config: TrainConfig,
    resume: ResumePoint,
    reporter: Reporter,
    targets: Targets | None = None,
) -> Fitted:
    """Train until every trial has stopped or run out of epochs, from the resume point where there is one.

    A trial's best state is that of the highest validation macro-F1 (of other targets the mean over tasks of the score
    that `Task.metric` names), of equal ones the first; after `patience` epochs
    without a higher one the trial stops, and at once where its numbers are no longer finite. With `keep` last every
    epoch counts as better than those before it. After each epoch everything is saved, and after the step in which
    SIGTERM comes, so that a run stopped at any moment goes on to the same numbers.

    Args:
        engine: trains and predicts.
        params: initial trainable parameters of each trial.
        labels: class of each clip of the store.
        classes: number of classes.
        config: epochs, patience and which epoch is kept.
        resume: where states are saved and restored.
        reporter: told of progress.
        targets: of each clip of the store, where they are other than one class.

    Raises:
        Diverged: the loss of a fold is no longer a number, at none of its learning rates, in every run.
        Terminated: SIGTERM came; everything is saved.
    """
    trials, axis = engine.trials, engine.axis
    count, evaluated = len(trials), make_evaluated(axis)
    tree = {
        "state": first_states(params, engine.optimizer, axis),
        "best": jax.tree.map(jnp.copy, params),
        "score": np.full(count, -1.0),
        "epoch": np.zeros(count, np.int64),
        "waited": np.zeros(count, np.int64),
        "diverged": np.zeros(count, bool),
        "sums": EpochSums.zero(count).arrays(),
    }
    epoch = 0
    restored = resume.restore(tree, axis.count if axis.together else None)
    if restored is not None:
        epoch, tree = restored
    score, best_epoch, waited, diverged = (np.array(tree[name]) for name in ("score", "epoch", "waited", "diverged"))
    state, best = tree["state"], tree["best"]
    sums = EpochSums.from_arrays(tree["sums"])
    del tree, restored
    given_up = {trial.run for k, trial in enumerate(trials) if _lost(k, trials, diverged)}

    with stoppable():
        while epoch < config.epochs and (active := (waited < config.patience) & ~diverged).any():
            epoch += 1
            began = time.monotonic()
            tick = reporter.begin(epoch, engine.epoch_clips(active))
            state, sums = engine.train_epoch(state, epoch, active, sums, tick)
            kept = {"score": score, "epoch": best_epoch, "waited": waited, "diverged": diverged}
            if not sums.complete:
                resume.save(epoch - 1, {"state": state, "best": best, **kept, "sums": sums.arrays()}, partial=True)
                raise Terminated
            loss, rate, sums = sums.mean_loss, sums.rate, EpochSums.zero(count)
            rows, notes = [], []
            params = evaluated(state)
            for k, probability in enumerate(engine.predict(params, "validation")):
                trial = trials[k]
                if not active[k] or trial.run in given_up:
                    continue
                if not (np.isfinite(loss[k]) and np.isfinite(probability).all()):
                    diverged[k] = True
                    lost = _lost(k, trials, diverged)
                    notes.append(_divergence(k, trials, epoch, lost))
                    if lost:
                        given_up.add(trial.run)
                        diverged |= np.array([other.run == trial.run for other in trials])
                    if diverged.all():
                        raise Diverged(notes[-1])
                    continue
                row = _row(trial, config, epoch)
                own = list(trial.validation)
                if targets is None:
                    row |= _class_scores(probability, labels[own], classes)
                else:
                    row |= _target_scores(probability, targets.values[own], targets)
                row |= {"train_loss": float(loss[k]), "lr": float(rate[k]), "seconds": time.monotonic() - began}
                if config.keep == "last":
                    row["keep"] = config.keep
                rows.append((trial.run, row))
                value = validation_score(row)
                better = config.keep == "last" or value > score[k]
                score[k] = value if better else score[k]
                best_epoch[k] = epoch if better else best_epoch[k]
                waited[k] = 0 if better else waited[k] + 1
            best = axis.select(active & (best_epoch == epoch), params, best)
            del params
            # The log first: rows of an epoch that was not saved are dropped on resuming, lost rows would stay lost.
            reporter.end(epoch, rows, notes)
            stop, over = stop_asked(), epoch == config.epochs or not ((waited < config.patience) & ~diverged).any()
            if stop or over or resume.due():
                resume.save(epoch, {"state": state, "best": best, **kept, "sums": sums.arrays()})
            if stop:
                raise Terminated
    return Fitted(best, evaluated(state), best_epoch, score, frozenset(given_up))


class Diverged(UserError):
    """Training whose numbers are no longer finite."""


def _lost(k: int, trials: Sequence[Trial], diverged: Bool[np.ndarray, "k"]) -> bool:
    """Return whether no trial is left that could stand in for trial k, at another learning rate."""
    own = [(other.run, other.fold, other.seed) for other in trials]
    return bool(diverged[[i for i, other in enumerate(own) if other == own[k]]].all())


def _divergence(k: int, trials: Sequence[Trial], epoch: int, lost: bool) -> str:
    """Return a sentence on trial k, whose numbers are no longer finite."""
    trial = trials[k]
    told = f"fold {trial.fold}: the numbers of epoch {epoch} are not finite at learning rate {trial.peak:g}"
    if not lost:
        return f"{told}; that rate is given up."
    rates = {other.peak for other in trials if other.run == trial.run}
    return f"{told}; lower {'--optimizer.max-lr' if len(rates) == 1 else '--train.learning-rates'}."


def _row(trial: Trial, config: TrainConfig, epoch: int) -> Row:
    row: Row = {"fold": trial.fold, "epoch": epoch}
    if config.seeds > 1 or len(config.learning_rates) > 1:
        row |= {"seed": trial.seed, "learning_rate": trial.peak}
    return row


def _class_scores(
    probability: Float[np.ndarray, "clips c"], labels: Int[np.ndarray, "clips"], classes: int
) -> dict[str, Any]:
    found = scores(confusion(labels, probability.argmax(-1), classes))
    likelihood = probability[np.arange(len(labels)), labels]
    loss = float(-np.log(np.maximum(likelihood, 1e-9)).mean())
    return {"validation_loss": loss} | {f"validation_{name}": float(value) for name, value in found.items()}


def _target_scores(
    answer: Float[np.ndarray, "clips c"], truth: Float[np.ndarray, "clips c"], targets: Targets
) -> dict[str, Any]:
    """Return the scores of each task, and the mean of those that early stopping watches; undefined ones count 0."""
    found: dict[str, Any] = {}
    watched = []
    for task, place in zip(targets.tasks, places(targets.tasks), strict=True):
        own = task_scores(task, truth[:, place], answer[:, place])
        prefix = "validation" if len(targets.tasks) == 1 else f"validation_{task.name}"
        found |= {f"{prefix}_{key}": value for key, value in own.items()}
        watched.append(np.nan_to_num(own[task.metric]))
    return found | {VALIDATION_SCORE: float(np.mean(watched))}
