"""Epochs: kept ones, patience, rates that diverge, and going on where a run was stopped."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from serjax.runtime.errors import UserError
from serjax.runtime.preemption import Terminated
from serjax.training.config import OptimizerConfig, TrainConfig
from serjax.training.epoch_sums import EpochSums
from serjax.training.fold_axis import fold_axis
from serjax.training.loop import Diverged, fit
from serjax.training.optimizer import make_optimizer
from serjax.training.resume import ResumePoint
from serjax.training.trials import Trial

LABELS = np.array([0, 1, 0, 1])
TRIALS = [Trial(fold, 0, 1e-3, (0, 1), (0, 1, 2, 3), (2, 3)) for fold in (1, 2)]


class Engine:
    """Counts epochs in the parameters, and gets as many clips right as its plan says."""

    def __init__(self, *plans, losses=None, trials=TRIALS):
        self.plans, self.losses, self.trials = plans, losses or {}, trials
        self.axis = fold_axis(len(trials), 1, together=True, devices=jax.devices()[:1])
        self.optimizer = make_optimizer(OptimizerConfig(schedule="constant"), {"epoch": jnp.zeros(())})
        self.params = self.axis.shard({"epoch": np.zeros(len(trials), np.float32)})
        self.active = []

    def epoch_clips(self, active):
        return 2 * int(active.sum())

    def train_epoch(self, state, epoch, active, sums, tick):
        self.active.append(active.tolist())
        tick(2)
        grown = jax.tree.map(lambda leaf: leaf + jnp.asarray(active), state.params)
        loss = np.array([self.losses.get((k, epoch), 1.0) for k in range(len(self.trials))])
        one = np.ones(len(self.trials))
        return state._replace(params=grown), EpochSums(1, loss, one, 1e-3 * one, complete=True)

    def predict(self, params, part):
        epochs = np.asarray(self.axis.gather(params)["epoch"]).astype(int)
        found = []
        for plan, epoch in zip(self.plans, epochs, strict=True):
            right = np.arange(4) < plan[min(epoch, len(plan)) - 1]
            found.append(np.eye(2, dtype=np.float32)[np.where(right, LABELS, 1 - LABELS)])
        return found


class Reporter:
    """Keeps what it is told."""

    def __init__(self):
        self.rows, self.notes = [], []

    def begin(self, epoch, clips):
        return lambda count: None

    def end(self, epoch, rows, notes):
        self.rows += rows
        self.notes += notes


def run(engine, folder, reporter=None, **config):
    resume = ResumePoint(folder / "resume")
    settings = TrainConfig(**{"epochs": 6, "patience": 2, **config})
    try:
        return fit(engine, engine.params, LABELS, 2, settings, resume, reporter or Reporter())
    finally:
        resume.close()


def test_best_epoch_is_kept_and_of_equals_the_first(tmp_path):
    engine, reporter = Engine((1, 3, 3, 2), (2, 2, 4, 4)), Reporter()
    found = run(engine, tmp_path, reporter)
    assert found.best_epoch.tolist() == [2, 3]
    assert engine.axis.gather(found.best)["epoch"].tolist() == [2, 3]
    # Two epochs without a higher score stop a trial; the other goes on.
    assert engine.active == [[True, True]] * 4 + [[False, True]]
    assert engine.axis.gather(found.last)["epoch"].tolist() == [4, 5]
    assert [(row["epoch"], row["fold"]) for _, row in reporter.rows][-1] == (5, 2)
    assert found.best_score[1] == pytest.approx(1.0)


def test_last_epoch_is_kept_where_asked(tmp_path):
    reporter = Reporter()
    found = run(Engine((4, 1, 1), (4, 3, 2)), tmp_path, reporter, keep="last", epochs=3, patience=1)
    assert found.best_epoch.tolist() == [3, 3]
    assert {row["keep"] for _, row in reporter.rows} == {"last"}


def test_fold_that_diverges_at_its_only_rate_is_refused(tmp_path):
    engine = Engine((2, 2), (2, 2), losses={(1, 2): np.nan})
    message = r"fold 2: the numbers of epoch 2 are not finite at learning rate 0\.001; lower --optimizer\.max-lr\."
    with pytest.raises(UserError, match=message):
        run(engine, tmp_path)


def test_one_of_several_rates_that_diverges_is_given_up(tmp_path):
    trials = [replace(TRIALS[0], peak=peak) for peak in (1e30, 1e-3)]
    engine, reporter = Engine((2, 2), (2, 3), losses={(0, 1): np.inf}, trials=trials), Reporter()
    found = run(engine, tmp_path, reporter, epochs=3, learning_rates=(1e30, 1e-3))
    assert reporter.notes == [
        "fold 1: the numbers of epoch 1 are not finite at learning rate 1e+30; that rate is given up."
    ]
    assert found.best_score[0] == -1
    assert engine.active == [[True, True], [False, True], [False, True]]
    assert {row["learning_rate"] for _, row in reporter.rows} == {1e-3}


def test_stopped_run_goes_on_to_the_same_numbers(tmp_path):
    plans = (1, 3, 3, 2, 4, 4), (2, 2, 4, 4, 4, 4)
    whole = run(Engine(*plans), tmp_path / "whole", patience=6)
    run(Engine(*plans), tmp_path / "broken", patience=6, epochs=2)
    engine = Engine(*plans)
    found = run(engine, tmp_path / "broken", patience=6)
    assert len(engine.active) == 4
    assert found.best_epoch.tolist() == whole.best_epoch.tolist()
    np.testing.assert_array_equal(found.best_score, whole.best_score)
    for name in ("best", "last"):
        one, other = (engine.axis.gather(getattr(fitted, name))["epoch"] for fitted in (found, whole))
        np.testing.assert_array_equal(one, other)


def test_a_run_stopped_inside_an_epoch_goes_on_there(tmp_path):
    engine = Engine((1, 2, 3), (1, 2, 3))
    whole, half, seen = engine.train_epoch, np.array([0.5, 0.25]), []

    def stopped(state, epoch, active, sums, tick):
        if epoch < 2:
            return whole(state, epoch, active, sums, tick)
        state, _ = whole(state, epoch, active, sums, tick)
        return state, EpochSums(7, half, half, half)

    engine.train_epoch = stopped
    with pytest.raises(Terminated):
        run(engine, tmp_path, epochs=3)
    again = Engine((1, 2, 3), (1, 2, 3))
    rest = again.train_epoch

    def noted(state, epoch, active, sums, tick):
        seen.append((epoch, sums))
        return rest(state, epoch, active, sums, tick)

    again.train_epoch = noted
    reporter = Reporter()
    run(again, tmp_path, reporter, epochs=3)
    assert [epoch for epoch, _ in seen] == [2, 3]
    (_, first), (_, second) = seen
    assert (first.step, first.loss.tolist(), first.complete) == (7, half.tolist(), False)
    assert (second.step, second.loss.tolist()) == (0, [0.0, 0.0])
    assert [row["epoch"] for _, row in reporter.rows] == [2, 2, 3, 3]


def test_a_run_stops_after_an_epoch_too(tmp_path, monkeypatch):
    engine = Engine((1, 2, 3), (1, 2, 3))
    monkeypatch.setattr("serjax.training.loop.stop_asked", lambda: len(engine.active) == 2)
    with pytest.raises(Terminated):
        run(engine, tmp_path, epochs=3)
    monkeypatch.undo()
    again = Engine((1, 2, 3), (1, 2, 3))
    run(again, tmp_path, epochs=3)
    assert len(again.active) == 1


def test_a_run_that_diverges_is_given_up_beside_others_and_all_of_them_are_refused(tmp_path):
    trials = [replace(trial, run=run) for run in (0, 1) for trial in TRIALS]
    plans = (2, 2), (2, 2), (2, 3), (2, 3)
    engine, reporter = Engine(*plans, losses={(1, 1): np.nan}, trials=trials), Reporter()
    found = run(engine, tmp_path, reporter, epochs=2)
    assert found.given_up == {0}
    assert engine.active == [[True] * 4, [False, False, True, True]]
    assert reporter.notes == [
        "fold 2: the numbers of epoch 1 are not finite at learning rate 0.001; lower --optimizer.max-lr."
    ]
    assert {(number, row["epoch"]) for number, row in reporter.rows} == {(0, 1), (1, 1), (1, 2)}
    # A resumed loop knows it.
    assert run(Engine(*plans, trials=trials), tmp_path, epochs=3).given_up == {0}
    with pytest.raises(Diverged, match="not finite"):
        run(Engine(*plans, losses=dict.fromkeys(((1, 1), (2, 1)), np.nan), trials=trials), tmp_path / "other")


def test_epochs_are_saved_after_some_time_and_at_the_end(tmp_path, monkeypatch):
    saved, clock = [], SimpleNamespace(monotonic=iter(range(0, 1000, 3)).__next__)
    save = ResumePoint.save
    monkeypatch.setattr(ResumePoint, "save", lambda self, epoch, tree: (saved.append(epoch), save(self, epoch, tree)))
    # The clock is looked at when the loop begins, after each epoch but the last, and after a save: 3 s later each time.
    monkeypatch.setattr("serjax.training.resume.time", clock)
    run(Engine((1, 2), (1, 2)), tmp_path, epochs=6, patience=6)
    assert saved == [4, 6]
