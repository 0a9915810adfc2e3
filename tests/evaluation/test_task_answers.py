"""The table of a task's answers: written, read back, and what is no such table."""

import numpy as np
import pytest

from serjax.evaluation.task_answers import TaskAnswers, read_task_csv, write_task_csv
from serjax.evaluation.tasks import Task
from serjax.runtime.errors import UserError

AVD = Task("avd", "dimensions", ("arousal", "valence"), ((1, 7), (1, 7)))


def answers(seed=0, task=AVD):
    rng = np.random.default_rng(seed)
    truth = np.random.default_rng(9).uniform(size=(4, len(task.outputs)))
    truth[1, 1] = np.nan
    return TaskAnswers(
        task, ("a", "b", "c", "d"), np.array([1, 1, 2, 2]), truth, rng.uniform(size=truth.shape), ("s", "s", "t", None)
    )


def test_answers_come_back(tmp_path):
    write_task_csv(tmp_path / "oof_avd.csv", answers(0), answers(1))
    text = (tmp_path / "oof_avd.csv").read_text().splitlines()
    assert text[0] == "clip,fold,seed,speaker,true_arousal,true_valence,answer_arousal,answer_valence"
    assert 1 <= float(text[1].split(",")[4]) <= 7
    for seed, found in enumerate(read_task_csv(tmp_path / "oof_avd.csv", AVD)):
        own = answers(seed)
        assert (found.ids, found.speaker) == (own.ids, own.speaker)
        np.testing.assert_array_equal(found.fold, own.fold)
        np.testing.assert_allclose(found.truth, own.truth, atol=1e-8)
        np.testing.assert_allclose(found.answer, own.answer, atol=1e-8)


def test_speakers_are_drawn_where_all_are_known():
    own = answers()
    assert own.groups is None
    assert TaskAnswers(AVD, own.ids, own.fold, own.truth, own.answer, ("s", "s", "t", "t")).groups is not None


def test_other_tables_are_refused(tmp_path):
    path = tmp_path / "oof_avd.csv"
    with pytest.raises(UserError, match="cannot be read"):
        read_task_csv(path, AVD)
    path.write_text("clip,fold\n")
    with pytest.raises(UserError, match="the columns must be clip, fold, seed, speaker, true_arousal"):
        read_task_csv(path, AVD)
    write_task_csv(path, answers())
    path.write_text(path.read_text().replace("b,1,0", "b,x,0"))
    with pytest.raises(UserError, match="line 3: expected 8 values"):
        read_task_csv(path, AVD)
