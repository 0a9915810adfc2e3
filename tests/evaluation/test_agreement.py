"""Agreement of annotators: equal to the published examples and to pairs counted one by one."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.evaluation.agreement import fleiss_kappa, krippendorff_alpha, majority_shares

FLEISS = [
    *([0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1]),
    *([7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]),
]
"""An example that is often printed: 14 raters, 10 subjects, 5 categories."""

KRIPPENDORFF = (
    (1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None),
    (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3),
    (None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None),
    (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None),
)
"""The example of Krippendorff 2011, section C: four observers, twelve units."""


def test_published_examples():
    assert fleiss_kappa(np.array(FLEISS, float)) == pytest.approx(0.210, abs=5e-4)
    votes = np.array([[column.count(label) for label in range(1, 6)] for column in zip(*KRIPPENDORFF, strict=True)])
    assert krippendorff_alpha(votes.astype(float)) == pytest.approx(0.743, abs=5e-4)


tables = st.integers(2, 4).flatmap(
    lambda labels: st.lists(
        st.lists(st.integers(0, 4), min_size=labels, max_size=labels).filter(any), min_size=2, max_size=8
    )
)


@settings(max_examples=60)
@given(tables)
def test_alpha_is_one_less_the_ratio_of_pairs_that_disagree(table):
    votes = np.array(table, float)
    found = krippendorff_alpha(votes)
    units = [[label for label, count in enumerate(row) for _ in range(count)] for row in table]
    units = [unit for unit in units if len(unit) > 1]
    every = [label for unit in units for label in unit]
    observed = sum(sum(a != b for a, b in itertools.permutations(unit, 2)) / (len(unit) - 1) for unit in units) / max(
        len(every), 1
    )
    expected = sum(a != b for a, b in itertools.permutations(every, 2)) / max(len(every) * (len(every) - 1), 1)
    if not expected:
        assert found is None
    else:
        assert found == pytest.approx(1 - observed / expected)


@settings(max_examples=40)
@given(st.integers(2, 6), st.integers(2, 30), st.integers(2, 5), st.integers(0, 999))
def test_kappa_and_alpha_differ_by_the_size_of_the_sample(raters, clips, labels, seed):
    rng = np.random.default_rng(seed)
    votes = rng.multinomial(raters, rng.dirichlet(np.ones(labels)), clips).astype(float)
    kappa, alpha = fleiss_kappa(votes), krippendorff_alpha(votes)
    assert (kappa is None) == (alpha is None)
    if kappa is not None:
        assert alpha == pytest.approx(kappa + (1 - kappa) / (clips * raters))


def test_full_agreement_and_what_is_not_defined():
    votes = np.array([[3.0, 0.0], [0.0, 3.0]])
    assert fleiss_kappa(votes) == pytest.approx(1)
    assert krippendorff_alpha(votes) == pytest.approx(1)
    for none in ([[2.0, 1.0], [1.0, 1.0]], [[0.5, 0.5], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]], [[2.0, 0.0]] * 2):
        assert fleiss_kappa(np.array(none)) is None
    for none in ([[0.5, 0.5], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]], [[2.0, 0.0]] * 2):
        assert krippendorff_alpha(np.array(none)) is None
    assert fleiss_kappa(np.zeros((0, 2))) is None


def test_shares_of_the_majority():
    assert majority_shares(np.array([[2.0, 1.0, 1.0], [0.25, 0.75, 0.0]])).tolist() == [0.5, 0.75]
