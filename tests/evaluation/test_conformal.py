"""Sets of labels hold the true one as often as they promise, where clips are exchangeable."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import binom

from serjax.evaluation.conformal import (
    COVERAGES,
    fewest_clips,
    highest_coverage,
    label_sets,
    mean_p_values,
    nonconformity,
    p_values,
)


def clips(rng, count, classes=4, noise=1.0):
    """Probabilities of a model that is wrong and too sure, and labels."""
    logits = rng.normal(0, 1.5, (count, classes))
    label = np.array([rng.choice(classes, p=row) for row in softmax(logits, 1)], int)
    return softmax(2 * logits + rng.normal(0, noise, logits.shape), 1), label


@given(st.integers(0, 10_000), st.integers(1, 30))
def test_p_values_count_the_clips_that_conform_no_better(seed, count):
    rng = np.random.default_rng(seed)
    scores = sorted(float(one) for one in np.round(rng.random(count), 1))
    probability = np.round(rng.dirichlet(np.ones(3), 5), 1)
    expected = [[(1 + sum(one >= round(1 - p, 7) for one in scores)) / (1 + count) for p in row] for row in probability]
    np.testing.assert_allclose(p_values(probability, scores), expected)


@pytest.mark.parametrize("coverage", COVERAGES)
@pytest.mark.parametrize("validation", [19, 60, 200])
def test_coverage_is_at_least_what_was_asked_for(coverage, validation):
    """Over many draws of validation clips and a tested one, within the bounds of a binomial."""
    rng = np.random.default_rng(0)
    draws, hits, sharp = 3000, 0, 0
    for _ in range(draws):
        probability, label = clips(rng, validation + 1)
        value = p_values(probability[-1:], nonconformity(probability[:-1], label[:-1]))
        hits += bool(label_sets(value, probability[-1:], coverage)[0, label[-1]])
        # Without the most probable class, which is always in, the coverage is sharp.
        sharp += value[0, label[-1]] > 1 - coverage + 1e-9
    assert hits >= sharp
    assert sharp >= binom.ppf(0.001, draws, coverage)
    assert sharp <= binom.ppf(0.999, draws, coverage + 1 / (validation + 1))


@pytest.mark.parametrize("coverage", COVERAGES)
def test_mean_of_members_keeps_the_weaker_promise_and_mostly_the_stronger(coverage):
    rng = np.random.default_rng(1)
    weights = np.array([0.5, 0.3, 0.2])
    draws, hits = 1500, 0
    for _ in range(draws):
        logits = rng.normal(0, 1.5, (61, 4))
        label = np.array([rng.choice(4, p=row) for row in softmax(logits, 1)], int)
        members = np.stack([softmax(2 * logits + rng.normal(0, 1, logits.shape), 1) for _ in weights], 1)
        scores = [nonconformity(members[20 * k : 20 * k + 20, k], label[20 * k : 20 * k + 20]) for k in range(3)]
        value = mean_p_values(members[-1:], scores, weights)
        hits += bool(label_sets(value, members[-1:].mean(1), coverage)[0, label[-1]])
    assert hits >= binom.ppf(0.001, draws, 2 * coverage - 1)
    assert hits / draws > coverage - 0.03


def test_mean_of_one_member_is_its_own():
    probability, label = clips(np.random.default_rng(2), 30)
    scores = nonconformity(probability, label)
    one = mean_p_values(probability[:, None], [scores], np.ones(1))
    np.testing.assert_array_equal(one, p_values(probability, scores))
    two = mean_p_values(np.stack([probability] * 2, 1), [scores, (0.5,)], np.array([1.0, 0.0]))
    np.testing.assert_array_equal(two, one)


def test_no_set_is_empty_and_a_higher_coverage_only_adds():
    probability, label = clips(np.random.default_rng(3), 200)
    value = p_values(probability, nonconformity(probability, label))
    last = np.zeros(probability.shape, bool)
    for coverage in (0.05, 0.5, 0.9, 0.99):
        held = label_sets(value, probability, coverage)
        assert held[np.arange(200), probability.argmax(1)].all()
        assert (held >= last).all()
        last = held


@pytest.mark.parametrize(("coverage", "count"), [(0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99), (0.5, 1)])
def test_fewest_clips_are_those_that_can_leave_a_class_out(coverage, count):
    assert fewest_clips(coverage) == count
    probability = np.array([[1.0, 0.0]])
    for clips_of, left_out in ((count, True), (count - 1, False)):
        value = p_values(probability, [0.0] * clips_of)
        assert label_sets(value, probability, coverage)[0, 1] != left_out
    assert highest_coverage([count], np.ones(1)) == pytest.approx(coverage)


def test_nonconformity_is_sorted_and_in_the_file_as_it_is():
    found = nonconformity(np.array([[0.9, 0.1], [1 / 3, 2 / 3]], np.float32), np.array([1, 1]))
    assert found == (0.3333333, 0.9)
