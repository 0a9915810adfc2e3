"""Groups of trials: what is in them, how many fit in a device's memory, and that no number depends on them."""

from dataclasses import replace

import jax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serjax.config.experiment import Experiment
from serjax.data.config import DataConfig, FoldsConfig
from serjax.models.base import EncoderLayout, Resolution
from serjax.models.speech import Speech
from serjax.runs import groups
from serjax.runs.groups import group_trials, is_of, most_at_once, name_of
from serjax.runs.planning.steps import memory_of, training_step
from serjax.training.config import TrainConfig
from serjax.training.fold_axis import fold_axis
from serjax.training.trials import Trial

TINY = Experiment("test", model=Speech(size="tiny"), train=TrainConfig(batch_size=2), folds=FoldsConfig(together="yes"))


def trials(folds=3, seeds=1, rates=(1e-3,)):
    return [
        Trial(fold, seed, rate, (0, 1), (2,), (3,))
        for seed in range(seeds)
        for rate in rates
        for fold in range(1, folds + 1)
    ]


def at_once(count, together="yes"):
    return replace(TINY, folds=FoldsConfig(together=together, at_once=count))


@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 3), st.integers(1, 9))
def test_every_trial_is_in_one_group_with_all_rates_of_its_fold(folds, seeds, rates, most):
    every = trials(folds, seeds, tuple(10.0**-k for k in range(rates)))
    found = group_trials(at_once(most), TINY.model, 4, every)
    assert sorted(map(id, every)) == sorted(id(trial) for group in found for trial in group)
    owners = [{(trial.fold, trial.seed) for trial in group} for group in found]
    assert all(len(owner) <= most for owner in owners)
    assert sum(map(len, owners)) == folds * seeds
    names = {name_of(group, every) for group in found}
    assert len(names) == len(found)
    assert (names == {""}) == (len(found) == 1)
    if len(found) == 1:
        assert found == [every]


def test_folds_one_after_the_other_and_runs_side_by_side_are_not_parted():
    assert len(group_trials(at_once(1, "no"), TINY.model, 4, trials())) == 1
    several = [replace(trial, run=run) for run in (0, 1) for trial in trials()]
    assert len(group_trials(at_once(1), TINY.model, 4, several)) == 1


def test_rows_of_a_log_belong_to_their_group():
    one, other = group_trials(at_once(2), TINY.model, 4, trials(3, 1, (0.1, 0.01)))
    assert is_of({"fold": 1, "learning_rate": 0.01}, one)
    assert is_of({"fold": 3}, other)
    assert not is_of({"fold": 3}, one)
    assert not is_of({"fold": 1, "learning_rate": 0.5}, one)


@pytest.mark.slow
def test_as_many_folds_as_fit_train_at_once(tiny_encoder):
    layout = Resolution(0.4, EncoderLayout(tiny_encoder, normalize=True))
    experiment = replace(TINY, model=TINY.model.resolved(layout), data=DataConfig(max_seconds=0.4))
    step = training_step(experiment, 4)

    def needed(folds):
        compiled = step.lower(fold_axis(folds, 2, together=True, devices=jax.devices()[:1])).compile()
        kept = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(step.state.params))
        return memory_of(compiled) + folds * kept

    sizes = [needed(folds) for folds in (1, 2, 3)]
    assert sizes == sorted(sizes)
    for most in (1, 2, 3):
        limit = round(1.001 * sizes[most - 1] / groups.SPARE)
        assert most_at_once(experiment, 4, 3, 1, limit) == most
    assert most_at_once(experiment, 4, 3, 1, 1) == 1
    assert most_at_once(experiment, 4, 1, 1, 1) == 1


def test_memory_decides_where_there_is_a_device_with_its_own(monkeypatch):
    monkeypatch.setattr(groups, "memory_limit", lambda: 1)
    monkeypatch.setattr(groups, "most_at_once", lambda experiment, classes, units, rates, limit, shared: 2)
    assert [len(group) for group in group_trials(TINY, TINY.model, 4, trials(5))] == [2, 2, 1]
    heads = replace(TINY, model=Speech(size="tiny", freeze="encoder"))
    assert len(group_trials(heads, heads.model, 4, trials(5))) == 1
