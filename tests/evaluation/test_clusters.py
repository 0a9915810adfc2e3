"""What frame labels say: scikit-learn's mutual information, chance beside it, and pictures that show the numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.image import imread
from sklearn.metrics import normalized_mutual_info_score

from serjax.evaluation.cluster_plots import progress_figure, spread_figure, timeline_figure
from serjax.evaluation.clusters import (
    cluster_csv,
    cluster_rows,
    mutual_information,
    posterior,
    purity,
    spread,
    summary_rows,
)
from serjax.evaluation.plots import save_png

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


def test_pictures_show_the_numbers(tmp_path):
    labels, emotions = made()
    before, after = spread(*made(tells=0.2), 14), spread(labels, emotions, 14)
    kinds = {"before": {"emotion": before, "speaker": before}, "after": {"emotion": after, "speaker": after}}
    figure = spread_figure(kinds)
    images = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert [image.shape for image in images[:2]] == [(12, 3)] * 2  # clusters without frames are left out
    assert images[1].max() == pytest.approx(after.shares.max())
    bars = [patch.get_width() for axes in figure.axes for patch in axes.patches if axes.get_yticklabels()]
    assert [before.nmi, before.nmi, after.nmi, after.nmi] == pytest.approx(bars[:4])
    save_png(tmp_path / "spread.png", figure)
    assert imread(tmp_path / "spread.png").std() > 0.05


def test_a_timeline_has_its_labels_where_their_frames_are(tmp_path):
    labels, emotions = made()
    found = spread(labels, emotions, 12)
    wave = np.random.default_rng(0).normal(size=320 * 149 + 400).astype(np.float32)
    says = posterior(labels[0], found)
    figure = timeline_figure(
        wave, np.random.default_rng(0).normal(size=(40, 300)), labels[0], found, says, EMOTIONS, "x"
    )
    strip = figure.axes[2]
    runs = np.flatnonzero(np.diff(labels[0], prepend=-1))
    assert [patch.get_x() for patch in strip.patches] == pytest.approx([(320 * run + 40) / 16_000 for run in runs])
    last = strip.patches[-1]
    assert last.get_x() + last.get_width() == pytest.approx((320 * 150 + 40) / 16_000)
    assert strip.get_xlim() == pytest.approx((0, len(wave) / 16_000))
    save_png(tmp_path / "timeline.png", figure)
    assert imread(tmp_path / "timeline.png").std() > 0.05


def test_progress_of_a_single_report_is_seen():
    row = {"epoch": 4, "train_masked_loss": 2.0, "train_masked_accuracy": 0.4, "train_unmasked_accuracy": 0.3}
    for axes in progress_figure({1: [row]}).axes:
        drawn = [line for line in axes.lines if len(line.get_xdata())]
        assert drawn
        assert all(line.get_marker() not in ("None", "", None) for line in drawn)
