"""Trials: folds, seeds and rates side by side; their keys, weights of classes and constants."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serjax.data.config import FoldsConfig
from serjax.data.folds.fold import Fold
from serjax.runtime.errors import UserError
from serjax.training.config import OptimizerConfig, TrainConfig
from serjax.training.trials import class_weights, make_trials, trial_constants, trial_key


@given(st.lists(st.integers(1, 30), min_size=2, max_size=6))
def test_class_weights_give_every_class_the_same_say(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    weights = class_weights(labels, len(counts))
    np.testing.assert_allclose(weights * counts, len(labels) / len(counts), rtol=1e-5)
    assert weights[labels].mean() == pytest.approx(1, rel=1e-5)


FOLDS = (Fold(1, (0, 1, 2), (3,), (4, 5)), Fold(2, (2, 3, 4, 5), (0,), (1,)))


def trials(folds=FOLDS, chosen=None, **train):
    return make_trials(folds, chosen or FoldsConfig(), TrainConfig(**train), OptimizerConfig(), 5e-5)


def test_every_fold_seed_and_rate_is_a_trial():
    found = trials(seeds=2, learning_rates=(1e-3, 1e-2))
    assert [(one.seed, one.peak, one.fold) for one in found] == [
        (seed, rate, fold) for seed in (0, 1) for rate in (1e-3, 1e-2) for fold in (1, 2)
    ]
    assert found[1].clips("train") == FOLDS[1].train
    assert found[1].clips("validation") == FOLDS[1].validation
    assert found[1].clips("test") == FOLDS[1].test


def test_rate_is_that_of_the_optimizer_or_the_default():
    assert {one.peak for one in trials()} == {5e-5}
    given = make_trials(FOLDS, FoldsConfig(), TrainConfig(), OptimizerConfig(max_lr=0.1), 5e-5)
    assert {one.peak for one in given} == {0.1}


def test_chosen_folds_alone_are_trained_and_unknown_ones_refused():
    assert [one.fold for one in trials(chosen=FoldsConfig(only=(2,)))] == [2]
    with pytest.raises(UserError, match="9"):
        trials(chosen=FoldsConfig(only=(9,)))


def test_key_depends_on_seed_repeat_and_fold_and_not_on_the_rate():
    def data(seed, trial):
        return tuple(np.asarray(jax.random.key_data(trial_key(seed, trial))).tolist())

    found = trials(seeds=2, learning_rates=(1e-3, 1e-2))
    keys = {(one.seed, one.fold): data(0, one) for one in found}
    assert len(set(keys.values())) == 4
    assert all(data(0, one) == keys[one.seed, one.fold] for one in found)
    assert data(1, found[0]) != data(0, found[0])
    alone = trials(chosen=FoldsConfig(only=(2,)), seeds=2)
    assert data(0, alone[0]) == keys[0, 2]


def test_constants_are_stacked_by_trial():
    labels = np.array([0, 0, 1, 1, 1, 0])
    config = TrainConfig(batch_size=2, epochs=3, balance="weights")
    found = trial_constants(trials(learning_rates=(1e-3, 1e-2)), labels, 2, config, 0)
    assert found.steps.tolist() == [6, 6, 6, 6]
    np.testing.assert_allclose(found.peak, [1e-3, 1e-3, 1e-2, 1e-2])
    np.testing.assert_allclose(found.class_weight[0], class_weights(labels[[0, 1, 2]], 2))
    plain = trial_constants(trials(), labels, 2, TrainConfig(), 0)
    np.testing.assert_array_equal(plain.class_weight, np.ones((2, 2)))
