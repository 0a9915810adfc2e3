"""What frame labels say: scikit-learn's mutual information, chance beside it, and pictures that show the numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import normalized_mutual_info_score

from serjax.evaluation.clusters import (
    cluster_csv,
    cluster_rows,
    mutual_information,
    posterior,
    purity,
    spread,
    summary_rows,
)

EMOTIONS = ("angry", "happy", "neutral")


def made(clips=40, clusters=12, tells=0.7, seed=0):
    """Return labels of clips that often, but not always, say the emotion; and the emotions."""
    rng = np.random.default_rng(seed)
    emotion = rng.integers(0, len(EMOTIONS), clips)
    labels = []
    for one in emotion:
        own = one * 4 + rng.integers(0, 4, 30)
        labels.append(np.repeat(np.where(rng.random(30) < tells, own, rng.integers(0, clusters, 30)), 5))
    return labels, [EMOTIONS[one] for one in emotion]


@settings(max_examples=40)
@given(st.integers(1, 6), st.integers(1, 9), st.integers(0, 99))
def test_mutual_information_and_purity_are_scikit_learns(groups, clusters, seed):
    rng = np.random.default_rng(seed)
    group, label = rng.integers(0, groups, 50), rng.integers(0, clusters, 50)
    counts = np.zeros((clusters, groups), int)
    np.add.at(counts, (label, group), 1)
    # scikit-learn calls one cluster of one group a perfect match.
    if (counts.sum(0) > 0).sum() > 1 or (counts.sum(1) > 0).sum() > 1:
        assert mutual_information(counts) == pytest.approx(normalized_mutual_info_score(group, label), abs=1e-6)
    best = sum(np.bincount(group[label == k]).max() for k in np.unique(label))
    assert purity(counts) == pytest.approx(best / 50)


def test_counts_are_frames():
    found = spread([np.array([0, 0, 2]), np.array([2, 2, 2, 1])], ["sad", "calm"], 4)
    assert found.names == ("calm", "sad")
    np.testing.assert_array_equal(found.counts, [[0, 2], [1, 0], [3, 1], [0, 0]])
    np.testing.assert_allclose(found.shares, [[0, 1], [1, 0], [0.75, 0.25], [0, 0]])


def test_chance_stands_beside_the_scores():
    labels, emotions = made()
    telling, random = spread(labels, emotions, 12), spread(labels, emotions[20:] + emotions[:20], 12)
    assert telling.purity > 0.7 > 0.5 > telling.chance_purity
    assert telling.nmi > 0.2 > 0.1 > telling.chance_nmi > 0
    assert random.nmi == pytest.approx(random.chance_nmi, abs=0.05)
    assert spread(labels, emotions, 12).chance_nmi == telling.chance_nmi


def test_a_posterior_finds_the_emotion():
    labels, emotions = made()
    found = spread(labels[1:], emotions[1:], 12)
    says = posterior(labels[0], found)
    assert says.shape == (150, 3)
    np.testing.assert_allclose(says.sum(1), 1)
    assert found.names[says.mean(0).argmax()] == emotions[0]
    # One frame alone, and a window wider than the clip.
    np.testing.assert_allclose(posterior(labels[0], found, window=1)[7], posterior(labels[0][7:8], found)[0])
    assert np.ptp(posterior(labels[0], found, window=1000), axis=0).max() < 1e-9


def test_tables_hold_the_numbers():
    labels, emotions = made()
    found = spread(labels, emotions, 14)
    speakers = spread(labels, [str(i % 5) for i in range(40)], 14)
    rows = cluster_rows(found)
    assert len(rows) == 14
    assert [row[2] for row in rows[-2:]] == ["-", "-"]
    assert sum(int(row[1]) for row in rows) == 40 * 150
    top = int(rows[0][0])
    assert float(rows[0][3 + found.names.index(rows[0][2])]) == pytest.approx(100 * found.shares[top].max(), abs=0.05)
    assert cluster_csv(found).splitlines()[0] == "cluster,frames,emotion,angry,happy,neutral"
    spreads = {"before": {"emotion": found, "speaker": speakers}, "after": {"emotion": found}}
    assert [row[:2] for row in summary_rows(spreads)] == [["before", "emotion"], ["", "speaker"], ["after", "emotion"]]
    assert summary_rows(spreads)[0][4] == f"{found.nmi:.3f}"
