"""Parts of the model card of a run with other targets: what is asked, all scores, and the hub's form of them."""

import pytest
from answered_tasks import AVD, LABELS, SOFT, answers

from serjax.evaluation.target_card import target_results, target_scores, target_summary
from serjax.evaluation.task_report import task_section


@pytest.fixture(scope="module")
def report():
    return {"tasks": [task_section([answers(task)], 0) for task in (SOFT, AVD, LABELS)]}


def test_tasks_and_their_main_scores_are_told(report):
    told = target_summary(report)
    assert (
        "Task emotion: the shares in which annotators vote for the classes (a, b, c); out of fold macro-F1 is" in told
    )
    assert "Task avd: values (arousal, valence); out of fold CCC is" in told


def test_all_scores_and_pictures_are_there(report):
    page = "\n\n".join(target_scores(report))
    assert "![avd](avd.png)" in page
    assert "![Training curves](curves.png)" in page
    assert page.count("| out-of-fold | 48 |") == 3


def test_the_hub_gets_every_defined_score(report):
    corpus = {"task_type": "audio-classification", "dataset_type": "x", "dataset_name": "X"}
    report["tasks"][1]["scores"]["pearson"]["score"] = None
    found = {one.metric_name: one for one in target_results(report["tasks"], corpus)}
    assert found["CCC (avd)"].metric_type == "ccc"
    assert "Pearson (avd)" not in found
    assert found["UA (emotion)"].dataset_name == "X"
