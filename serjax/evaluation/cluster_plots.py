"""Pictures of frame labels: how clusters spread over emotions, and one clip's labels along its time."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Integer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from serjax.evaluation.clusters import Spread
from serjax.evaluation.plots import COLOURS, FAINT, INK
from serjax.evaluation.report import Row

_RATE, _HOP, _FIELD = 16_000, 320, 400
_LOOK: dict[str, Any] = {"color": INK, "parse_math": False}


def spread_figure(spreads: Mapping[str, Mapping[str, Spread]], kind: str = "emotion") -> Figure:
    """Draw each cluster's shares of emotions as a row of colour, and mutual information with all kinds as bars.

    Clusters stand in the order of their most frequent emotion; the darker a row, the more the cluster says.

    Args:
        spreads: by the labels' title, such as `before fine-tuning` and `after`, then by kind.
        kind: of the groups whose shares are drawn.
    """
    titles = list(spreads)
    figure = Figure(figsize=(3.4 * len(titles) + 3.4, 5.2), layout="constrained")
    *maps, bars = figure.subplots(1, len(titles) + 1, width_ratios=[*[1.0] * len(titles), 0.9], squeeze=False)[0]
    for axes, title in zip(maps, titles, strict=True):
        found = spreads[title][kind]
        shares = found.shares[found.counts.sum(1) > 0]
        order = np.lexsort((-shares.max(1), shares.argmax(1)))
        image = axes.imshow(shares[order], aspect="auto", cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
        axes.set_xticks(range(len(found.names)), found.names, rotation=45, ha="right", rotation_mode="anchor", **_LOOK)
        axes.set_title(f"{title}\npurity {found.purity:.2f} (chance {found.chance_purity:.2f})", fontsize=10, **_LOOK)
        axes.set_ylabel(f"{len(shares)} clusters", color=INK)
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=maps, location="bottom", shrink=0.5, label=f"share of a cluster's frames, by {kind}")
    _bars(bars, spreads)
    return figure


def _bars(axes: Axes, spreads: Mapping[str, Mapping[str, Spread]]) -> None:
    kinds = list(next(iter(spreads.values())))
    thick = 0.8 / len(spreads)
    for number, (title, found) in enumerate(spreads.items()):
        place = np.arange(len(kinds)) + (number - (len(spreads) - 1) / 2) * thick
        axes.barh(place, [found[kind].nmi for kind in kinds], 0.9 * thick, color=COLOURS[number], label=title)
        chance = [found[kind].chance_nmi for kind in kinds]
        axes.plot(chance, place, "|", color=INK, markersize=40 * thick, markeredgewidth=1.5)
    axes.plot([], [], "|", color=INK, markersize=10, label="by chance")
    axes.set_yticks(range(len(kinds)), kinds, **_LOOK)
    axes.invert_yaxis()
    axes.set_title("mutual information of labels\nwith what clips are of (normalised)", fontsize=10, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, loc="best")


def progress_figure(histories: Mapping[int, Sequence[Row]]) -> Figure:
    """Draw the loss of masked frames, and how many frames are predicted right, over the updates: a line a fold.

    Args:
        histories: rows of metrics.jsonl by fold.
    """
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for number, (fold, rows) in enumerate(sorted(histories.items())):
        colour, name = COLOURS[number % len(COLOURS)], f"fold {fold}" if fold else "all clips"
        updates = [row["epoch"] for row in rows]
        # A run shorter than masked.save_every has one row, of which a line alone shows nothing.
        left.plot(updates, [row["train_masked_loss"] for row in rows], ".-", color=colour, label=name)
        for key, style in (("masked", ".-"), ("unmasked", ".:")):
            right.plot(updates, [row[f"train_{key}_accuracy"] for row in rows], style, color=colour)
    right.plot([], [], ".-", color=INK, label="masked frames")
    right.plot([], [], ".:", color=INK, label="others")
    left.set_title("cross-entropy of masked frames", fontsize=10, color=INK)
    right.set_title("share of frames predicted right", fontsize=10, color=INK)
    for axes in (left, right):
        axes.set_xlabel("updates", color=INK)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=8, frameon=False)
    return figure


def timeline_figure(
    wave: Float[np.ndarray, "t"],
    mel: Float[np.ndarray, "m f"],
    labels: Integer[np.ndarray, "n"],
    emotions: Spread,
    posterior: Float[np.ndarray, "p c"],
    classes: Sequence[str],
    title: str,
) -> Figure:
    """Draw a clip along its time: waveform, log-mel, frame labels, and how likely each emotion is.

    A label is drawn where the middle of its frame is, in the colour of its cluster's most frequent emotion, the paler
    the less that emotion prevails; its number stands in runs that are wide enough.

    Args:
        wave: samples at 16 kHz.
        mel: log-mel spectrogram of the whole clip.
        labels: of its frames.
        emotions: how the clusters spread.
        posterior: over classes, at even times of the clip.
        classes: names of the posterior's columns.
        title: of the picture, such as the clip's name and its true emotion.
    """
    seconds = len(wave) / _RATE
    names = list(dict.fromkeys([*emotions.names, *classes]))
    colour = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)}
    hatch = {name: "//" if number >= len(COLOURS) else None for number, name in enumerate(names)}
    figure = Figure(figsize=(11, 7), layout="constrained")
    top, middle, strip, bottom = figure.subplots(4, 1, sharex=True, height_ratios=[1, 1.6, 0.7, 1.5])
    top.plot(np.arange(len(wave)) / _RATE, wave, color=INK, linewidth=0.4)
    top.set_ylabel("waveform", color=INK)
    middle.imshow(mel, origin="lower", aspect="auto", cmap="magma", extent=(0, seconds, 0, len(mel)))
    middle.set_ylabel("log-mel", color=INK)
    _strip(strip, labels, emotions, colour, hatch)
    times = (np.arange(len(posterior)) + 0.5) * seconds / len(posterior)
    areas = bottom.stackplot(times, posterior.T, colors=[colour[name] for name in classes], linewidth=0)
    for area, name in zip(areas, classes, strict=True):
        if hatch[name]:
            area.set_hatch(hatch[name])
            area.set_edgecolor("white")
    bottom.set_ylim(0, 1)
    bottom.set_ylabel("emotion posterior", color=INK)
    bottom.set_xlabel("s", color=INK)
    for axes in (top, middle, strip, bottom):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8, color=FAINT)
    top.set_xlim(0, seconds)
    top.set_title(title, fontsize=11, **_LOOK)
    legend = [Patch(facecolor=colour[name], hatch=hatch[name], edgecolor="white", label=name) for name in names]
    figure.legend(handles=legend, loc="outside lower center", ncols=8, fontsize=9, frameon=False)
    return figure


def _strip(
    axes: Axes,
    labels: Integer[np.ndarray, "n"],
    emotions: Spread,
    colour: Mapping[str, str],
    hatch: Mapping[str, str | None],
) -> None:
    """Draw runs of equal labels as boxes."""
    shares = emotions.shares
    ends = np.concatenate([np.flatnonzero(np.diff(labels)) + 1, [len(labels)]])
    start = 0
    for end in ends.tolist():
        cluster = int(labels[start])
        name = emotions.names[shares[cluster].argmax()]
        # From half a hop before the middle of the first frame to half a hop after that of the last.
        left = (_HOP * start + (_FIELD - _HOP) / 2) / _RATE
        width = _HOP * (end - start) / _RATE
        alpha = 0.15 + 0.85 * float(shares[cluster].max())
        axes.axvspan(
            left, left + width, facecolor=colour[name], alpha=alpha, hatch=hatch[name], edgecolor="white", linewidth=0.4
        )
        if end - start >= 4:
            axes.text(left + width / 2, 0.5, str(cluster), ha="center", va="center", fontsize=7, color=INK)
        start = end
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.set_ylabel("frame\nlabels", color=INK)
