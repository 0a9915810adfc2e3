"""The report of a study: scores of the seeds together, ranks over what all have, and what is to be said."""

import json

import pytest
from little_report import answers, make_report

from serjax.evaluation.metrics import bootstrap_intervals, confusion, scores
from serjax.evaluation.out_of_fold import mean_of
from serjax.evaluation.study_report import score_of


def test_scores_are_of_the_mean_over_seeds_with_an_interval_by_speaker():
    cell = score_of(make_report(), "b", "x", "x")
    seeds = [answers(0.75, seed=1), answers(0.75, seed=11)]
    together = mean_of(seeds)
    whole = scores(confusion(together.label, together.prediction, 3))
    low, high = bootstrap_intervals(together.label, together.prediction, together.groups, 3, seed=0)["ua"]
    found = cell["scores"]["ua"]
    assert (found["score"], found["low"], found["high"]) == pytest.approx((float(whole["ua"]), low, high))
    assert (cell["clips"], cell["speakers"], cell["resampled"], cell["seeds"]) == (60, 12, "speakers", 2)
    expected = [float(scores(confusion(one.label, one.prediction, 3))["ua"]) for one in seeds]
    assert found["each_seed"] == pytest.approx(expected)


def test_the_mean_over_folds_counts_folds_alike():
    folds = [answers(0.9, seed=0), answers(0.9, seed=10)]
    expected = []
    for one in folds:
        for fold in (1, 2, 3):
            own = one.fold == fold
            expected.append(float(scores(confusion(one.label[own], one.prediction[own], 3))["wa"]))
    found = score_of(make_report(), "a", "x", "x")["scores"]["wa"]["mean_over_folds"]
    assert found == pytest.approx(sum(expected) / len(expected))


def test_ranks_are_over_corpora_that_all_encoders_have():
    report = make_report(corpora=("x", "y", "z"), failed=[("b", "y")])
    assert report["ranks"]["over"] == [["x", "x"], ["z", "z"]]
    assert report["ranks"]["order"] == ["a", "b", "c"]
    assert score_of(report, "b", "y", "y")["sentence"] == "It | failed & fell."
    assert make_report(corpora=("x",), failed=[("b", "x")])["ranks"] is None
    assert make_report(encoders=("a",))["ranks"] is None


def test_few_corpora_speakers_and_failures_are_told():
    notes = " ".join(make_report(failed=[("a", "x")])["notes"])
    assert "1 of 6 cells have no scores" in notes
    assert "told apart" not in notes  # one corpus is left, and there are no ranks
    notes = " ".join(make_report(corpora=("x", "unnamed"), max_clips=60)["notes"])
    assert "Intervals on unnamed draw single clips" in notes
    assert "Of each corpus at most 60 clips" in notes
    assert "With 2 corpora no two of 3 encoders" in notes
    assert "With 4 blocks Friedman's and Nemenyi's tests are rough" in " ".join(make_report("cross")["notes"])


def test_across_corpora_the_diagonal_is_explained():
    report = make_report("cross")
    assert len(report["cells"]) == 12
    assert any("On the diagonal each clip is answered by the folds" in note for note in report["notes"])
    assert any("not independent" in note for note in report["notes"])


def test_a_report_is_json():
    report = make_report("cross", failed=[("a", "x")])
    assert json.loads(json.dumps(report, allow_nan=False)) == report
