"""Scores agree with scikit-learn; intervals cover, respect groups and repeat."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from serjax.evaluation.metrics import (
    METRICS,
    bootstrap_differences,
    bootstrap_intervals,
    bootstrap_uas,
    confusion,
    confusions,
    f1_scores,
    precisions,
    recalls,
    scores,
)


@st.composite
def answers(draw, most_classes=6):
    """Labels and predictions; some classes may be missing from either."""
    classes = draw(st.integers(1, most_classes))
    one = st.integers(0, classes - 1)
    pairs = draw(st.lists(st.tuples(one, one), min_size=1, max_size=60))
    labels, predictions = np.array(pairs).T
    return labels, predictions, classes


@given(answers())
def test_scores_are_scikit_learns(case):
    labels, predictions, classes = case
    matrix = confusion(labels, predictions, classes)
    ours = scores(matrix)
    with warnings.catch_warnings():
        # scikit-learn warns of predicted classes that do not occur and of a single class: both are meant to arise here.
        warnings.simplefilter("ignore", UserWarning)
        balanced = sk.balanced_accuracy_score(labels, predictions)
        counts = sk.confusion_matrix(labels, predictions, labels=range(classes))
    every = {"labels": range(classes), "zero_division": np.nan}
    np.testing.assert_array_equal(matrix, counts)
    assert ours["wa"] == pytest.approx(sk.accuracy_score(labels, predictions))
    assert ours["ua"] == pytest.approx(balanced)
    assert ours["macro_f1"] == pytest.approx(sk.f1_score(labels, predictions, average="macro"))
    precision, recall, f1, _ = sk.precision_recall_fscore_support(labels, predictions, **every)
    np.testing.assert_allclose(precisions(matrix), precision)
    np.testing.assert_allclose(recalls(matrix), recall)
    np.testing.assert_allclose(f1_scores(matrix), f1)


@given(answers(), st.integers(1, 5), st.randoms(use_true_random=False))
def test_leading_axes_are_scored_one_by_one(case, count, random):
    labels, predictions, classes = case
    groups = np.array([random.randrange(count) for _ in labels])
    parts = confusions(labels, predictions, classes, groups, count)
    np.testing.assert_array_equal(parts.sum(0), confusion(labels, predictions, classes))
    together = scores(parts.reshape(1, count, classes, classes))
    for metric in METRICS:
        apart = [scores(part)[metric] for part in parts]
        np.testing.assert_allclose(together[metric], [apart])


def test_nothing_to_score_is_nan():
    assert all(np.isnan(value) for value in scores(np.zeros((3, 3), int)).values())


def simulate(rng, speakers, clips, spread):
    """Answers of speakers who differ: each is answered rightly with a chance of their own around 0.6."""
    chance = np.clip(rng.normal(0.6, spread, speakers), 0, 1).repeat(clips)
    labels = rng.integers(0, 2, speakers * clips)
    predictions = np.where(rng.random(len(labels)) < chance, labels, 1 - labels)
    return labels, predictions, np.arange(speakers).repeat(clips)


def test_intervals_cover_the_truth_only_when_speakers_are_drawn():
    rng = np.random.default_rng(0)
    covered = {"speakers": 0, "clips": 0}
    runs = 150
    for run in range(runs):
        labels, predictions, speakers = simulate(rng, speakers=30, clips=20, spread=0.2)
        for name, groups in (("speakers", speakers), ("clips", None)):
            low, high = bootstrap_intervals(labels, predictions, groups, 2, seed=run, draws=300)["wa"]
            covered[name] += low <= 0.6 <= high
    assert covered["speakers"] / runs > 0.87
    assert covered["clips"] / runs < 0.8


def test_without_groups_the_width_is_the_binomial_one():
    rng = np.random.default_rng(1)
    labels, predictions, _ = simulate(rng, speakers=1, clips=400, spread=0.0)
    low, high = bootstrap_intervals(labels, predictions, None, 2, seed=0)["wa"]
    share = np.mean(labels == predictions)
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(share * (1 - share) / 400), rel=0.1)


def test_every_clip_its_own_group_is_the_same_as_no_groups():
    labels, predictions, _ = simulate(np.random.default_rng(2), speakers=4, clips=50, spread=0.1)
    own = bootstrap_intervals(labels, predictions, range(200), 2, seed=0, draws=4000)
    none = bootstrap_intervals(labels, predictions, None, 2, seed=0, draws=4000)
    for metric in METRICS:
        np.testing.assert_allclose(own[metric], none[metric], atol=0.015)


@settings(max_examples=30)
@given(answers(), st.integers(0, 9), st.booleans())
def test_intervals_are_finite_ordered_and_decided_by_the_seed(case, seed, grouped):
    # With few clips most draws lack a class, which must not make a NaN.
    labels, predictions, classes = case
    groups = [f"speaker {index % 3}" for index in range(len(labels))] if grouped else None
    first = bootstrap_intervals(labels, predictions, groups, classes, seed=seed, draws=200)
    assert first == bootstrap_intervals(labels, predictions, groups, classes, seed=seed, draws=200)
    for low, high in first.values():
        assert 0 <= low <= high <= 1


def test_another_seed_draws_otherwise_and_a_higher_level_is_wider():
    labels, predictions, speakers = simulate(np.random.default_rng(3), speakers=12, clips=17, spread=0.2)
    narrow = bootstrap_intervals(labels, predictions, speakers, 2, seed=0, level=0.5)["ua"]
    wide = bootstrap_intervals(labels, predictions, speakers, 2, seed=0)["ua"]
    assert wide[0] < narrow[0] < narrow[1] < wide[1]
    assert wide != bootstrap_intervals(labels, predictions, speakers, 2, seed=1)["ua"]


@settings(max_examples=30)
@given(answers(), st.integers(0, 9), st.booleans(), st.randoms(use_true_random=False))
def test_the_difference_of_two_turns_with_their_order(case, seed, grouped, random):
    labels, ours, classes = case
    theirs = np.array([random.randrange(classes) for _ in labels])
    groups = [f"speaker {index % 3}" for index in range(len(labels))] if grouped else None
    # Single clips are drawn by their cells, whose order turns too: only groups' draws are the same both ways.
    found = bootstrap_differences(labels, ours, theirs, groups, classes, seed=seed, draws=200)
    for low, high in found.values():
        assert -1 <= low <= high <= 1
    if grouped:
        turned = bootstrap_differences(labels, theirs, ours, groups, classes, seed=seed, draws=200)
        for metric in METRICS:
            np.testing.assert_allclose(turned[metric], np.negative(found[metric])[::-1], atol=1e-12)
    none = bootstrap_differences(labels, ours, ours, groups, classes, seed=seed, draws=200)
    assert set(none.values()) == {(0.0, 0.0)}


def test_intervals_of_the_difference_cover_and_are_narrower_than_two_apart():
    # Speakers are hard for both; ours is right on one clip in ten more, whoever speaks.
    rng = np.random.default_rng(4)
    covered, runs, width, apart = 0, 150, 0.0, 0.0
    for run in range(runs):
        labels, theirs, speakers = simulate(rng, speakers=30, clips=20, spread=0.2)
        gain = (theirs != labels) & (rng.random(len(labels)) < 0.25)
        ours = np.where(gain, labels, theirs)
        low, high = bootstrap_differences(labels, ours, theirs, speakers, 2, seed=run, draws=300)["wa"]
        truth = 0.25 * 0.4
        covered += low <= truth <= high
        width += high - low
        low, high = bootstrap_intervals(labels, ours, speakers, 2, seed=run, draws=300)["wa"]
        apart += high - low
    assert 0.87 < covered / runs < 1
    assert width < apart / 2


def test_differences_of_single_clips_are_those_of_groups_of_one():
    labels, ours, _ = simulate(np.random.default_rng(5), speakers=4, clips=50, spread=0.1)
    theirs = np.roll(ours, 7)
    own = bootstrap_differences(labels, ours, theirs, range(200), 2, seed=0, draws=4000)
    none = bootstrap_differences(labels, ours, theirs, None, 2, seed=0, draws=4000)
    for metric in METRICS:
        np.testing.assert_allclose(own[metric], none[metric], atol=0.015)


def test_draws_of_parts_are_those_of_the_whole():
    rng = np.random.default_rng(3)
    labels, predictions = rng.integers(0, 3, 300), rng.integers(0, 3, 300)
    speakers = np.repeat(np.arange(15), 20).tolist()
    one = bootstrap_uas(labels, predictions, speakers, 3, np.zeros(300, int), 1, seed=4, draws=400)
    low, high = bootstrap_intervals(labels, predictions, speakers, 3, seed=4, draws=400)["ua"]
    assert np.quantile(one[:, 0], [0.025, 0.975]) == pytest.approx([low, high])
    # A part of one speaker is missing from the draws that do not take this one.
    parts = np.repeat([0, 1], [20, 280])
    two = bootstrap_uas(labels, predictions, speakers, 3, parts, 2, seed=4, draws=400)
    assert 0.2 < np.isnan(two[:, 0]).mean() < 0.5
    assert not np.isnan(two[:, 1]).any()
