"""Speakers are moved between folds until these are equal: never worse than before, and no worse than scikit-learn's."""

import warnings

import numpy as np
import pytest
from clip_lists import corpus
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from serjax.data.folds.balance import imbalance, rebalance
from serjax.data.folds.splits import deal_speakers


def spreads(tests, clips):
    """Return how far folds differ in their shares of each class and of all clips, and how many classes they lack."""
    labels = sorted({clip.label for clip in clips})
    place = np.array([labels.index(clip.label) for clip in clips])
    counts = np.array([np.bincount(place[list(test)], minlength=len(labels)) for test in tests])
    by_class, in_all = (counts / counts.sum(0)).std(0).mean(), (counts.sum(1) / counts.sum()).std()
    return by_class, in_all, np.count_nonzero(counts == 0)


def random_corpora(count):
    """Yield clips of speakers who differ in number of clips and in classes, and a number of folds."""
    rng = np.random.default_rng(0)
    while count:
        classes, people, folds = int(rng.integers(2, 8)), int(rng.integers(6, 40)), int(rng.integers(2, 6))
        sizes = rng.lognormal(2.5, rng.uniform(0, 1.2), people)
        mixtures = rng.dirichlet(np.full(classes, rng.uniform(0.3, 5)), people)
        counts = rng.poisson(sizes[:, None] * mixtures)
        if (np.count_nonzero(counts, axis=0) > folds).all():
            count -= 1
            yield corpus(counts.tolist()), folds


@pytest.mark.slow
def test_folds_are_as_equal_as_those_of_scikit_learn_on_200_corpora():
    ours, theirs = [], []
    for seed, (clips, folds) in enumerate(random_corpora(200)):
        labels, names = [clip.label for clip in clips], [clip.speaker for clip in clips]
        splitter = StratifiedGroupKFold(folds, shuffle=seed % 2 == 1, random_state=seed if seed % 2 else None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of classes with fewer clips than folds
            tests = [test.tolist() for _, test in splitter.split(labels, labels, names)]
        ours.append(spreads(deal_speakers(clips, folds, seed), clips))
        theirs.append(spreads(tests, clips))
    mine, other = np.array(ours), np.array(theirs)
    assert (mine.mean(0) <= other.mean(0)).all()
    together = mine[:, :2].sum(1) <= other[:, :2].sum(1) + 1e-9
    assert together.mean() > 0.95
    assert (mine[:, 2] <= other[:, 2]).all()


def test_speakers_whose_sizes_differ_by_far_are_dealt_evenly_with_every_class():
    # The largest speaker has 122 of 400 clips; each of the others has fewer, of fewer classes.
    sizes = [122, 60, 52, 46, 40, 30, 20, 12, 10, 8]
    counts = [[size // 2, size // 4, size - size // 2 - size // 4] if size > 20 else [0, 0, size] for size in sizes]
    clips = corpus(counts)
    for seed in range(5):
        tests = deal_speakers(clips, 4, seed)
        lengths = sorted(len(test) for test in tests)
        assert lengths[-1] == 122
        assert lengths[0] >= 84
        assert all({clips[i].label for i in test} == {"c0", "c1", "c2"} for test in tests)


few = settings(max_examples=60)
tables = st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=4, max_size=12)


@few
@given(tables, st.integers(2, 4), st.integers(0, 99))
def test_a_search_never_makes_folds_less_equal_or_empty(counts, folds, seed):
    values = np.array([*counts, [1, 1, 1]], float)
    shares, sizes = values / values.sum(0), values.sum(1) / values.sum()
    first = np.concatenate([np.arange(folds), np.random.default_rng(seed).integers(0, folds, len(values) - folds)])
    found = rebalance(shares, sizes, first, folds)
    assert set(found) == set(range(folds))
    assert imbalance(shares, sizes, found) <= imbalance(shares, sizes, first) + 1e-12
    # No single move would make them more equal.
    for group in range(len(values)):
        for fold in range(folds):
            moved = found.copy()
            moved[group] = fold
            if set(moved) == set(range(folds)):
                assert imbalance(shares, sizes, moved) >= imbalance(shares, sizes, found) - 2e-7


def test_imbalance_is_the_variance_of_shares_and_of_missing_classes():
    shares = np.array([[0.5, 1.0], [0.5, 0.0]])
    found = imbalance(shares, np.array([0.75, 0.25]), np.array([0, 1]))
    assert found == np.float64(2 * 0.25**2 + (2 * 0.0 + 2 * 0.5**2) / 2 + 4)


@few
@given(st.integers(6, 12), st.integers(2, 4), st.integers(0, 9))
def test_equal_folds_stay(people, count, seed):
    groups = people // count * count
    shares = np.full((groups, 2), 1 / groups)
    first = np.random.default_rng(seed).permutation(np.arange(groups) % count)
    np.testing.assert_array_equal(rebalance(shares, np.full(groups, 1 / groups), first, count), first)


def test_thousands_of_speakers_are_dealt_evenly_without_a_search():
    clips = corpus([[1 + s % 3, 2 - s % 2] for s in range(2001)])
    tests = deal_speakers(clips, 4, 0)
    assert sorted(i for test in tests for i in test) == list(range(len(clips)))
    assert max(map(len, tests)) - min(map(len, tests)) <= 4
