"""Values of a model held against those of clips: scales, missing values, and what is written."""

import json
from pathlib import Path

import numpy as np
import pytest

from serjax.data.utterance import Utterance
from serjax.evaluation.tasks import Task
from serjax.inference.scores import Scoring
from serjax.runs.evaluate_values import value_answers, value_report, value_task, write_values
from serjax.runtime.errors import UserError


class Model:
    """An ensemble of two values."""

    labels = ("arousal", "valence")

    def __init__(self, ranges=()):
        self.scoring = Scoring("identity", np.ones(1), ranges=ranges)


TASK = Task("dimensions", "dimensions", ("arousal", "valence"), ((1.0, 7.0), (1.0, 5.0)))
CLIPS = [
    Utterance(f"c{i}", Path(), "", f"s{i % 3}", values=(("arousal", 1.0 + i), ("valence", 5 - i / 2))) for i in range(6)
]


def test_scale_is_the_runs_own_or_given():
    assert value_task(Model(TASK.ranges), (), "x") == TASK
    assert value_task(Model(), ("valence=1:5", "arousal=1:7"), "x") == TASK
    with pytest.raises(UserError, match="x knows those of its values; leave them out"):
        value_task(Model(TASK.ranges), ("arousal=1:7",), "x")
    with pytest.raises(UserError, match="as in --ranges arousal=1:7 valence=1:7"):
        value_task(Model(), ("arousal=1:7",), "x")


def test_clips_without_any_of_the_values_are_refused():
    with pytest.raises(UserError, match=r"no clip has arousal, valence, .* --data\.columns arousal=COLUMN"):
        value_answers(TASK, [Utterance("a", Path(), "sad", "s")], np.zeros((1, 2)), scaled=True)


def test_answers_on_either_scale_score_alike(tmp_path):
    clips = [*CLIPS, Utterance("none", Path(), "", "s0")]
    truth = np.array([[1.0 + i, 5.0 - i / 2] for i in range(6)] + [[4.0, 3.0]])
    low, high = np.array(TASK.ranges).T
    ours = value_answers(TASK, clips, truth, scaled=True)
    theirs = value_answers(TASK, clips, (truth - low) / (high - low), scaled=False)
    np.testing.assert_allclose(ours.answer, theirs.answer)
    assert len(ours.ids) == 6
    report = value_report(ours, name="run on corpus", seed=0, notes=["A note."]) | {"command": "evaluate"}
    assert report["tasks"][0]["scores"]["ccc"]["score"] == pytest.approx(1)
    write_values(tmp_path, report, ours)
    assert {path.name for path in tmp_path.iterdir()} == {
        "README.md",
        "predictions.csv",
        "dimensions.png",
        "report.json",
    }
    assert json.loads((tmp_path / "report.json").read_text())["name"] == "run on corpus"
    assert "A note." in (tmp_path / "README.md").read_text()
