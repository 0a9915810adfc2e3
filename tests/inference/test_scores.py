"""Scores of an ensemble, and how much its members disagree."""

import jax
import numpy as np
import pytest

from serjax.inference.scores import Scoring

LOGITS = np.random.default_rng(0).normal(0, 3, (5, 3, 4)).astype(np.float32)
WEIGHTS = np.array([0.5, 0.3, 0.2], np.float32)


@pytest.mark.parametrize(
    ("outputs", "expected"), [("softmax", jax.nn.softmax), ("sigmoid", jax.nn.sigmoid), ("identity", lambda x: x)]
)
def test_scores_are_the_weighted_mean_of_the_members(outputs, expected):
    found = Scoring(outputs, WEIGHTS).scores(LOGITS)
    np.testing.assert_allclose(found, np.einsum("k,nkc->nc", WEIGHTS, expected(LOGITS)), atol=1e-6)
    assert found.dtype == np.float32


@pytest.mark.parametrize("outputs", ["softmax", "sigmoid"])
def test_large_logits_overflow_nowhere(outputs):
    found = Scoring(outputs, np.ones(1, np.float32)).scores(np.array([[[1e4, -1e4]]], np.float32))
    np.testing.assert_array_equal(found, [[1, 0]])


def test_members_that_agree_leave_no_doubt_and_opposite_ones_a_bit():
    scoring = Scoring("softmax", np.array([0.5, 0.5], np.float32))
    same = np.array([[[2, 0, 1], [2, 0, 1]]], np.float32)
    assert scoring.disagreement(same) == pytest.approx([0], abs=1e-6)
    opposite = np.array([[[100, 0], [0, 100]]], np.float32)
    assert scoring.disagreement(opposite) == pytest.approx([1])
    assert Scoring("sigmoid", np.array([0.5, 0.5], np.float32)).disagreement(opposite - 50) == pytest.approx([2])


def test_mutual_information_is_the_mean_divergence_from_the_mean():
    """I = sum of w KL(p_k || mean), the same number by another formula."""
    scoring = Scoring("softmax", WEIGHTS)
    p, mean = scoring.members(LOGITS), scoring.scores(LOGITS)
    expected = np.einsum("k,nkc->n", WEIGHTS, p * np.log2(p / mean[:, None]))
    np.testing.assert_allclose(scoring.disagreement(LOGITS), expected, atol=1e-5)


def test_values_disagree_by_their_deviation():
    values = np.array([[[1, 10], [3, 10]]], np.float32)
    assert Scoring("identity", np.array([0.5, 0.5], np.float32)).disagreement(values) == pytest.approx([np.sqrt(0.5)])


def test_one_member_that_counts_disagrees_with_nobody():
    assert Scoring("softmax", np.array([1, 0, 0], np.float32)).disagreement(LOGITS) is None


def test_each_member_has_its_temperature():
    temperature = np.array([0.5, 1, 4], np.float32)
    found = Scoring("softmax", WEIGHTS, temperature).members(LOGITS)
    for k, own in enumerate(temperature):
        np.testing.assert_allclose(found[:, k], jax.nn.softmax(LOGITS[:, k] / own), atol=1e-6)
    assert found.dtype == np.float32
    plain, ones = (Scoring("softmax", WEIGHTS, one) for one in (None, np.ones(3, np.float32)))
    np.testing.assert_array_equal(ones.scores(LOGITS), plain.scores(LOGITS))


def test_chosen_classes_share_what_they_have():
    scoring = Scoring("softmax", WEIGHTS, np.array([0.5, 1, 4], np.float32), only=(1, 3))
    every = Scoring("softmax", WEIGHTS, scoring.temperature).members(LOGITS)[..., [1, 3]]
    np.testing.assert_allclose(scoring.members(LOGITS), every / every.sum(-1, keepdims=True), atol=1e-6)
    assert scoring.scores(LOGITS).shape == (5, 2)
    np.testing.assert_allclose(scoring.scores(LOGITS).sum(1), 1, atol=1e-6)
    assert scoring.disagreement(LOGITS).shape == (5,)
