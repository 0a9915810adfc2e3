"""Ranks and their critical difference: Demsar's table, scipy's statistic, and what few corpora cannot tell."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import friedmanchisquare

from serjax.evaluation.study_ranks import critical_difference, rank


@pytest.mark.parametrize(("classifiers", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)])
def test_critical_values_are_those_of_demsar_s_table_5(classifiers, q):
    expected = q * np.sqrt(classifiers * (classifiers + 1) / (6 * 14))
    assert critical_difference(classifiers, 14) == pytest.approx(expected, abs=1e-3)


def test_the_example_of_demsar_s_section_3_2_2():
    # Mean ranks 3.143, 2.000, 2.893, 1.964 of four classifiers on 14 data sets; the critical difference is 1.25.
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.01)


@given(st.lists(st.lists(st.integers(0, 4), min_size=4, max_size=4), min_size=2, max_size=12))
def test_ranks_add_up_and_the_statistic_is_scipy_s(rows):
    scores = np.array(rows, float)
    found = rank(scores)
    assert sum(found.mean) == pytest.approx(10)
    if found.statistic is not None:
        assert found.statistic == pytest.approx(friedmanchisquare(*scores.T).statistic)
    ordered = np.sort(found.mean)
    for first, last in found.groups:
        assert ordered[last] - ordered[first] < found.critical
        assert last > first
    assert list(found.groups) == sorted(set(found.groups))


def test_the_best_comes_first_and_groups_join_what_is_alike():
    scores = np.array([[0.9, 0.5, 0.1]] * 10 + [[0.5, 0.9, 0.1]] * 8)
    found = rank(scores)
    assert found.order == [0, 1, 2]
    assert found.mean == pytest.approx((26 / 18, 28 / 18, 3))
    assert found.groups == ((0, 1),)
    assert found.can_tell


def test_two_corpora_cannot_tell_three_encoders_apart():
    found = rank(np.array([[0.9, 0.5, 0.1]] * 2))
    assert found.critical > 2
    assert not found.can_tell
    assert found.groups == ((0, 2),)


def test_without_differences_or_corpora_there_is_no_statistic():
    assert rank(np.ones((4, 3))).statistic is None
    one = rank(np.array([[0.1, 0.2, 0.2]]))
    assert (one.statistic, one.critical, one.groups) == (None, None, ())
    assert one.mean == (3, 1.5, 1.5)
    assert rank(np.array([[0.1, 0.2], [0.1, 0.3]])).statistic is None
