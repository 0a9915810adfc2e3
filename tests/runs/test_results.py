"""From trained folds to a run: chosen rates, out-of-fold answers, and the command that is shown."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from serjax.data.dataset import Data
from serjax.data.folds.fold import Fold
from serjax.data.utterance import Utterance
from serjax.runs.results import choose_rates, out_of_fold, validation_shares
from serjax.training.trials import Trial

TRIALS = [
    Trial(fold, seed, rate, (0,), (0,), (2 * fold - 2, 2 * fold - 1))
    for seed in (0, 1)
    for rate in (1e-3, 1e-2)
    for fold in (1, 2)
]


def test_each_fold_keeps_its_best_rate_and_of_equals_the_first():
    chosen = choose_rates(TRIALS, [0.5, 0.5, 0.5, 0.6, 0.1, 0.2, 0.3, 0.1])
    assert chosen == [{1: 0, 2: 3}, {1: 6, 2: 5}]


def test_rates_are_chosen_among_the_trials_of_a_run():
    both = [replace(trial, run=run) for run in (0, 1) for trial in TRIALS[:4]]
    scores = [0.1, 0.2, 0.3, 0.1, 0.9, 0.1, 0.8, 0.2]
    assert choose_rates(both, scores, 0) == [{1: 2, 2: 1}]
    assert choose_rates(both, scores, 1) == [{1: 4, 2: 7}]


def test_rate_that_diverged_is_never_chosen():
    chosen = choose_rates(TRIALS[:4], [-np.inf, 0.1, 0.2, -np.inf])
    assert chosen == [{1: 2, 2: 1}]


def test_out_of_fold_answers_are_those_of_the_chosen_trials():
    clips = [Utterance(f"clip{i}", Path(), "sad", f"s{i}") for i in range(4)]
    store = type("Store", (), {"utterances": clips})()
    data = Data("x", store, ("happy", "sad"), np.array([0, 1, 1, 0]), (), (), ())
    probabilities = [np.full((2, 2), k / 10) for k in range(len(TRIALS))]
    first, second = out_of_fold(data, TRIALS, probabilities, [{1: 0, 2: 3}, {1: 6, 2: 5}])
    assert first.ids == ("clip0", "clip1", "clip2", "clip3")
    assert first.fold.tolist() == [1, 1, 2, 2]
    assert first.label.tolist() == [0, 1, 1, 0]
    assert first.speaker == ("s0", "s1", "s2", "s3")
    np.testing.assert_allclose(first.probability[:, 0], [0, 0, 0.3, 0.3])
    np.testing.assert_allclose(second.probability[:, 0], [0.6, 0.6, 0.5, 0.5])


def test_share_that_validates_is_of_what_is_not_tested():
    folds = [Fold(1, (0, 1), (2,), (3,)), Fold(2, (0, 1, 3), (2,), ())]
    assert validation_shares(folds) == (1 / 4, 1 / 3)
    assert validation_shares([]) is None
