"""Reports on layers: the layer is chosen by validation, differences are paired, shares add up to one."""

import numpy as np
import pytest
from little_layers import make_layers

from serjax.evaluation.layer_report import weights_report, weights_sentence
from serjax.evaluation.metrics import bootstrap_differences
from serjax.evaluation.out_of_fold import mean_of
from serjax.evaluation.study_report import score_answers


def test_validation_chooses_the_layer_and_of_equal_ones_the_lowest():
    report, probes = make_layers((0.4, 0.6, 0.9), (0.5, 0.7, 0.7))
    assert (report["chosen"], report["last"]) == (1, 2)
    assert [row["scores"] for row in report["layers"]] == [score_answers(one.found, 3)["scores"] for one in probes]
    assert report["notes"] == ["A note."]
    assert (report["interval"]["resampled"], report["interval"]["count"]) == ("speakers", 12)


def test_the_difference_to_the_last_layer_is_paired():
    report, probes = make_layers((0.9, 0.6), (0.8, 0.5))
    one, other = mean_of(probes[0].found), mean_of(probes[1].found)
    expected = bootstrap_differences(one.label, one.prediction, other.prediction, one.groups, 3, seed=3)["ua"]
    found = report["difference"]["ua"]
    scores = [row["scores"]["ua"]["score"] for row in report["layers"]]
    assert (found["low"], found["high"]) == expected
    assert found["score"] == pytest.approx(scores[0] - scores[1])
    assert make_layers((0.6, 0.9), (0.5, 0.8))[0]["difference"] is None  # the last one was chosen


def test_a_layer_without_scores_is_told_and_never_chosen():
    report, _ = make_layers((None, 0.5, None), (None, 0.1, None), named=False)
    assert (report["chosen"], report["difference"]) == (1, None)
    assert [row["scores"] is None for row in report["layers"]] == [True, False, True]
    assert report["interval"]["count"] == 60
    assert "not finite at any rate: 0, 2; lower --learning-rates." in " ".join(report["notes"])
    assert "draw single clips" in report["notes"][0]


def test_shares_are_a_softmax_in_each_member():
    found = weights_report({(1, 0): np.log([1.0, 2.0, 5.0]), (2, 0): np.array([500.0, 500.0, -500.0])})
    assert [(one["fold"], one["seed"]) for one in found["members"]] == [(1, 0), (2, 0)]
    np.testing.assert_allclose(found["members"][0]["shares"], [0.125, 0.25, 0.625])
    np.testing.assert_allclose(found["mean"], [0.3125, 0.375, 0.3125])
    assert weights_sentence(found, 2) == (
        "Largest shares of the learned sum of 3 layers: 1 (37.5 %), 0 (31.2 %); equal ones are 33.3 %."
    )
