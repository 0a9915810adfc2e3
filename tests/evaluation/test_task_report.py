"""Sections of a report: scores with intervals, folds, outputs, seeds, and differences of two runs."""

import json

import pytest
from answered_tasks import AVD, LABELS, SOFT, answers

from serjax.evaluation.task_report import task_difference, task_section
from serjax.evaluation.task_scores import KEYS, task_scores


@pytest.mark.parametrize("task", [AVD, SOFT, LABELS])
def test_section_holds_the_scores(task):
    own = answers(task, 0.5)
    section = task_section([own, answers(task, 0.5, seed=1)], 0)
    json.dumps(section, allow_nan=False)
    expected = task_scores(task, own.truth, own.answer)
    for key in KEYS[task.kind]:
        found = section["scores"][key]
        assert found["score"] == pytest.approx(expected[key])
        assert found["low"] <= found["score"] + 0.02
        assert found["high"] >= found["score"] - 0.02
    assert [fold["clips"] for fold in section["folds"]] == [16, 16, 16]
    assert [one["name"] for one in section["each"]] == list(task.outputs)
    assert section["seeds"]["count"] == 2
    assert section["interval"]["resampled"] == "speakers"


def test_difference_of_a_run_with_itself_is_nothing():
    own = answers(AVD, 0.3)
    found = task_difference(own, own, 0)
    assert all(value["score"] == value["low"] == value["high"] == 0 for value in found.values())
    better = task_difference(answers(AVD, 0.1), answers(AVD, 0.8), 0)
    assert better["ccc"]["low"] > 0
    assert better["rmse"]["high"] < 0
