"""Figures of clusters: shares as colour, labels along a clip, and progress of masked prediction."""

import numpy as np
import pytest
from matplotlib.image import imread

from serjax.evaluation.cluster_plots import progress_figure, spread_figure, timeline_figure
from serjax.evaluation.clusters import (
    posterior,
    spread,
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


def test_spread_figure_shows_shares_and_mutual_information(tmp_path):
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


def test_timeline_draws_labels_where_their_frames_are(tmp_path):
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


def test_progress_of_a_single_row_has_visible_markers():
    row = {"epoch": 4, "train_masked_loss": 2.0, "train_masked_accuracy": 0.4, "train_unmasked_accuracy": 0.3}
    for axes in progress_figure({1: [row]}).axes:
        drawn = [line for line in axes.lines if len(line.get_xdata())]
        assert drawn
        assert all(line.get_marker() not in ("None", "", None) for line in drawn)


def test_spread_figure_has_titles_emotions_and_a_bar_for_each_kind():
    found = spread(*made(), 12)
    figure = spread_figure({"before": {"emotion": found, "text": found}, "after": {"emotion": found, "text": found}})
    maps, bars = figure.axes[:2], figure.axes[2]
    assert [axes.get_title().split("\n")[0] for axes in maps] == ["before", "after"]
    assert f"purity {found.purity:.2f} (chance {found.chance_purity:.2f})" in maps[0].get_title()
    assert [tick.get_text() for tick in maps[0].get_xticklabels()] == list(EMOTIONS)
    assert [tick.get_text() for tick in bars.get_yticklabels()] == ["emotion", "text"]
    assert {text.get_text() for text in bars.get_legend().get_texts()} == {"before", "after", "by chance"}


def test_spread_figure_orders_clusters_by_their_most_frequent_emotion():
    figure = spread_figure({"once": {"emotion": spread(*made(), 12)}})
    most = np.asarray(figure.axes[0].images[0].get_array()).argmax(1)
    assert (np.diff(most) >= 0).all()


def test_progress_figure_has_a_line_a_fold_and_both_accuracies():
    rows = [
        {"epoch": e, "train_masked_loss": 3 / e, "train_masked_accuracy": 0.1 * e, "train_unmasked_accuracy": 0.2 * e}
        for e in (1, 2, 3)
    ]
    loss, accuracy = progress_figure({2: rows, 1: rows[:2]}).axes
    lines = [line for line in loss.lines if len(line.get_xdata())]
    assert [line.get_label() for line in lines] == ["fold 1", "fold 2"]
    np.testing.assert_allclose(lines[1].get_xydata(), [[1, 3], [2, 1.5], [3, 1]])
    drawn = [line.get_ydata() for line in accuracy.lines if len(line.get_xdata())]
    np.testing.assert_allclose(drawn[2], [0.1, 0.2, 0.3])
    np.testing.assert_allclose(drawn[3], [0.2, 0.4, 0.6])
    assert progress_figure({0: rows}).axes[0].lines[0].get_label() == "all clips"


def test_timeline_shows_posterior_title_and_every_class():
    labels, emotions = made()
    found = spread(labels, emotions, 12)
    says = posterior(labels[0], found)
    figure = timeline_figure(
        np.zeros(320 * 149 + 400, np.float32), np.zeros((40, 300)), labels[0], found, says, EMOTIONS, "clip $1$: angry"
    )
    top, middle, strip, bottom = figure.axes
    assert top.get_title() == "clip $1$: angry"
    assert middle.images[0].get_array().shape == (40, 300)
    assert bottom.get_ylim() == (0, 1)
    assert len(bottom.collections) == len(EMOTIONS)
    # Numbers stand in runs of four frames or more.
    runs = np.diff(np.flatnonzero(np.diff(labels[0], prepend=-1, append=-1)))
    assert len(strip.texts) == (runs >= 4).sum()
    assert {text.get_text() for text in figure.legends[0].get_texts()} == set(EMOTIONS)
