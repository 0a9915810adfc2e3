"""Temperatures and measures of calibration agree with plain formulas and with scikit-learn and SciPy."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.metrics import brier_score_loss, log_loss

from serjax.evaluation.calibration import (
    BINS,
    HIGHEST,
    LOWEST,
    brier_score,
    expected_calibration_error,
    fit_temperature,
    log_probabilities,
    mutual_information,
    negative_log_likelihood,
    quality,
    reliability,
    tempered,
)


def answers(seed, clips=200, classes=4, sharpness=1.0):
    """Probabilities whose logits are `sharpness` times those that the labels are drawn from."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (clips, classes))
    label = np.array([rng.choice(classes, p=row) for row in softmax(logits, 1)])
    return softmax(sharpness * logits, 1).astype(np.float32), label


@given(st.integers(0, 1000), st.floats(0.5, 4))
def test_temperature_is_where_scipy_finds_the_least_loss(seed, sharpness):
    probability, label = answers(seed, 60, 3, sharpness)
    logits = np.log(probability.astype(float))

    def loss(temperature):
        return -log_softmax(logits / temperature, 1)[np.arange(len(label)), label].mean()

    found = fit_temperature(probability, label)
    best = minimize_scalar(lambda x: loss(np.exp(x)), bounds=np.log([LOWEST, HIGHEST]), method="bounded").x
    assert found == pytest.approx(np.exp(best), rel=1e-2)
    assert loss(found) <= loss(np.exp(best)) + 1e-9


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_temperature_undoes_how_much_too_sure_answers_are(sharpness):
    probability, label = answers(0, 4000, 4, sharpness)
    assert fit_temperature(probability, label) == pytest.approx(sharpness, rel=0.07)
    before, after = (quality(one, label) for one in (probability, tempered(probability, sharpness)))
    assert after["ece"] < 0.03
    if sharpness != 1:
        for measure in ("ece", "nll", "brier"):
            assert after[measure] < before[measure]


def test_temperature_of_clips_that_are_all_right_is_one():
    probability = np.array([[0.9, 0.1], [0.4, 0.6], [0.5, 0.5]], np.float32)
    assert fit_temperature(probability, np.array([0, 1, 0])) == 1


def test_temperature_stays_within_its_bounds():
    probability = np.array([[0.9, 0.1]] * 4, np.float32)
    assert fit_temperature(probability, np.array([1, 1, 1, 0])) == HIGHEST
    weak = np.array([[0.5001, 0.4999]] * 10, np.float32)
    assert fit_temperature(weak, np.array([0] * 9 + [1])) == LOWEST


def test_probability_that_float32_rounds_to_zero_is_finite():
    probability, label = np.array([[1, 0], [1, 0], [0.3, 0.7]], np.float32), np.array([0, 1, 1])
    assert np.isfinite(log_probabilities(probability)).all()
    assert LOWEST <= fit_temperature(probability, label) <= HIGHEST
    assert np.isfinite(negative_log_likelihood(probability, label))


@given(st.integers(0, 1000), st.floats(0.2, 5))
def test_tempering_keeps_the_order_of_classes_and_their_sum(seed, temperature):
    probability, _ = answers(seed, 20)
    found = tempered(probability, temperature)
    np.testing.assert_allclose(found.sum(1), 1)
    np.testing.assert_array_equal(found.argmax(1), probability.argmax(1))
    np.testing.assert_allclose(found, softmax(np.log(probability.astype(float)) / temperature, 1), rtol=1e-9)
    np.testing.assert_allclose(tempered(probability, np.full(20, temperature)), found)


@pytest.mark.parametrize("classes", [2, 5])
def test_scores_are_those_of_scikit_learn(classes):
    probability, label = answers(1, 300, classes, 2.0)
    exact = probability.astype(np.float64)
    exact /= exact.sum(1, keepdims=True)
    expected = brier_score_loss(label, exact, labels=range(classes), scale_by_half=False)
    assert brier_score(exact, label) == pytest.approx(expected)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert negative_log_likelihood(exact, label) == pytest.approx(log_loss(label, exact, labels=range(classes)))


@given(st.integers(0, 1000), st.integers(1, 20))
def test_calibration_error_is_the_weighted_gap_of_the_bins(seed, bins):
    probability, label = answers(seed, 100)
    top, right = probability.max(1).astype(float), probability.argmax(1) == label
    expected = 0.0
    for low in range(bins):
        own = (top > low / bins) & (top <= (low + 1) / bins)
        if own.any():
            expected += own.mean() * abs(right[own].mean() - top[own].mean())
    diagram = reliability(probability, label, bins)
    assert expected_calibration_error(diagram) == pytest.approx(expected)
    assert sum(one["clips"] for one in diagram) == 100


def test_a_perfect_and_a_constant_answer_are_judged_by_hand():
    label = np.array([0, 1, 1, 0])
    perfect = quality(np.eye(2, dtype=np.float32)[label], label)
    assert (perfect["ece"], perfect["brier"], perfect["accuracy"]) == (0, 0, 1)
    assert perfect["nll"] == 0
    sure = quality(np.tile(np.array([[1, 0]], np.float32), (4, 1)), label)
    assert (sure["ece"], sure["brier"]) == (0.5, 1)
    assert [one["clips"] for one in sure["reliability"]] == [0] * (BINS - 1) + [4]


def test_disagreement_of_opposite_answers_is_a_bit():
    opposite = np.array([[[1, 0], [0.5, 0.5]], [[0, 1], [0.5, 0.5]]], np.float32)
    assert mutual_information(opposite) == pytest.approx([1, 0])
