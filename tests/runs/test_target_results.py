"""Answers of trials gathered task by task: clips without a target are left out."""

from pathlib import Path

import numpy as np

from serjax.data.dataset import Data
from serjax.data.targets import Targets
from serjax.data.utterance import Utterance
from serjax.evaluation.tasks import Task
from serjax.runs.target_results import task_answers
from serjax.training.trials import Trial


def test_answers_are_those_of_the_chosen_trials_for_clips_with_a_target():
    clips = [Utterance(f"clip{i}", Path(), "", f"s{i}") for i in range(4)]
    tasks = (Task("a", "dimensions", ("x",), ((0, 1),)), Task("b", "class", ("p", "q")))
    nan = np.nan
    values = np.array([[0.1, 1, 0], [nan, 0, 1], [0.3, nan, nan], [0.4, 1, 0]], np.float32)
    store = type("Store", (), {"utterances": clips})()
    data = Data("x", store, ("",), np.zeros(4, int), (), (), (), None, Targets(tasks, values))
    trials = [Trial(fold, 0, rate, (), (), tests) for rate in (1, 2) for fold, tests in ((1, (0, 1)), (2, (2, 3)))]
    answers = [np.full((2, 3), k / 10) for k in range(4)]
    (first,), (second,) = task_answers(data, trials, answers, [{1: 2, 2: 1}])
    assert first.ids == ("clip0", "clip2", "clip3")
    assert second.ids == ("clip0", "clip1", "clip3")
    np.testing.assert_allclose(first.answer[:, 0], [0.2, 0.1, 0.1])
    assert second.answer.shape == (3, 2)
    assert first.fold.tolist() == [1, 2, 2]
