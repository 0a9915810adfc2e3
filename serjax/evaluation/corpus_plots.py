"""Pictures of a corpus: clips by class and speaker, lengths and levels, values and agreement of annotators.

They draw the dictionary of `serjax.data.look.report.build_report`, in the colours of `serjax.evaluation.plots`.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from serjax.evaluation.plots import COLOURS, FAINT, INK

MOST_SPEAKERS = 60
"""Speakers up to which each has a column; of more, numbers of clips are counted."""

DPI = 130
"""Dots an inch of a picture."""
MOST_CLASSES = 60
"""Classes that are drawn."""
_NAME = 24
"""Characters of a name that are shown."""


def figures(report: Mapping[str, Any]) -> dict[str, Figure]:
    """Return the pictures for which there are numbers, by their names."""
    makers: dict[str, Callable[[Mapping[str, Any]], Figure | None]] = {
        "clips": clips_figure,
        "sound": sound_figure,
        "levels": levels_figure,
        "votes": votes_figure,
        "values": values_figure,
    }
    made = {name: make(report) for name, make in makers.items()}
    return {name: figure for name, figure in made.items() if figure is not None}


def clips_figure(report: Mapping[str, Any]) -> Figure:
    """Draw numbers of clips: by class and speaker as colours, and by class as bars."""
    speakers, rest = report["speakers"], len(report["classes"]) - MOST_CLASSES
    classes = report["classes"][:MOST_CLASSES]
    counts = np.array(report["clips_of_speakers"][:MOST_CLASSES], int).reshape(len(classes), len(speakers))
    each = 0 < len(speakers) <= MOST_SPEAKERS
    height = float(np.clip(0.34 * len(classes), 1.2, 12)) + 1.3
    widths = (2.2, 0.34 * len(speakers) + 0.4) if each else (4.0, 4.0)
    figure = Figure(figsize=(max(6.5, sum(widths) + 2.4), height), layout="constrained")
    panels = figure.subplots(1, 2 if speakers else 1, squeeze=False, width_ratios=widths if speakers else None)[0]
    bars = panels[0]
    places = np.arange(len(classes))
    bars.barh(places, [one["clips"] for one in classes], color=COLOURS[0], height=0.7)
    bars.set_yticks(places, [short(one["label"]) for one in classes], **_words())
    bars.set_ylim(len(classes) - 0.5, -0.5)
    _dress(bars, "clips" if rest <= 0 else f"clips; {rest} more classes are left out")
    if not speakers:
        return figure
    beside = panels[1]
    if not each:
        own = np.sum(report["clips_of_speakers"], 0)
        beside.hist(own, bins=min(40, max(1, int(own.max()))), color=COLOURS[0])
        _dress(beside, "clips of a speaker")
        beside.set_ylabel("speakers", color=INK, fontsize=9)
        return figure
    beside.imshow(counts, cmap="Blues", vmin=0, vmax=max(1, counts.max()), aspect="auto")
    if counts.size <= 600:
        for (row, column), count in np.ndenumerate(counts):
            light = count <= 0.55 * counts.max()
            colour = FAINT if not count else INK if light else "white"
            beside.text(column, row, str(count), ha="center", va="center", fontsize=7, color=colour)
    beside.set_xticks(range(len(speakers)), [short(one) for one in speakers], rotation=90, **_words())
    beside.set_yticks([])
    beside.set_xticks(np.arange(1, len(speakers)) - 0.5, minor=True)
    beside.set_yticks(np.arange(1, len(classes)) - 0.5, minor=True)
    beside.grid(which="minor", color="white", linewidth=1)
    beside.tick_params(which="both", length=0, labelsize=7)
    beside.spines[:].set_visible(False)
    beside.set_title("clips by speaker", fontsize=10, color=INK)
    return figure


def sound_figure(report: Mapping[str, Any]) -> Figure | None:
    """Draw histograms of lengths, levels, silence, clipping and DC offsets; None where nothing was measured."""
    sound = report["sound"]
    if sound is None:
        return None
    figure = Figure(figsize=(10.5, 5.4), layout=ConstrainedLayoutEngine(h_pad=0.12))
    lengths, levels, silence, clipping, offsets, kinds = figure.subplots(2, 3).flat
    _histogram(lengths, sound["seconds"], "length, s")
    peaks, loudness = sound["peak_dbfs"], sound["rms_dbfs"]
    _histogram(levels, loudness, "level, dB relative to full scale", label="RMS")
    _histogram(levels, peaks, "level, dB relative to full scale", colour=COLOURS[1], label="peak")
    levels.legend(fontsize=8, frameon=False)
    for axes, name, title in (
        (silence, "silent", "silence in a clip"),
        (clipping, "clipped", "samples at full scale"),
        (offsets, "offset", "DC offset, share of the RMS"),
    ):
        _histogram(axes, sound[name], title)
        axes.set_yscale("symlog", linthresh=1)  # one clip of thousands is seen
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter(PercentFormatter(1))
    rates = sound["rates"]
    names = [*(f"{int(rate) / 1000:g} kHz" for rate in rates), *(f"{one} ch." for one in sound["channels"])]
    colours = [*[COLOURS[0]] * len(rates), *[COLOURS[2]] * len(sound["channels"])]
    found = kinds.barh(range(len(names)), [*rates.values(), *sound["channels"].values()], color=colours, height=0.6)
    kinds.bar_label(found, fontsize=7, color=INK, padding=2)
    kinds.margins(x=0.15)
    kinds.set_yticks(range(len(names)), names, **_words())
    kinds.set_ylim(max(len(names), 4) - 0.5, -0.5)
    _dress(kinds, "clips by rate and channels")
    return figure


def levels_figure(report: Mapping[str, Any]) -> Figure | None:
    """Draw the median level of each class, with a line from the 10th to the 90th percentile; None without levels."""
    classes = [one for one in report["classes"] if one["rms_dbfs"] is not None][:MOST_CLASSES]
    if not classes:
        return None
    figure = Figure(figsize=(7.5, float(np.clip(0.3 * len(classes), 1.2, 12)) + 0.9), layout="constrained")
    axes = figure.subplots()
    for place, one in enumerate(classes):
        low, middle, high = one["rms_dbfs"]
        axes.plot([low, high], [place, place], color=COLOURS[5], linewidth=4, solid_capstyle="round")
        axes.plot([middle], [place], "o", color=COLOURS[0], markersize=7, markeredgecolor="white")
    axes.set_yticks(range(len(classes)), [short(one["label"]) for one in classes], **_words())
    axes.set_ylim(len(classes) - 0.5, -0.5)
    _dress(axes, "RMS by class, dB relative to full scale (median, 10 to 90 %)")
    return figure


def votes_figure(report: Mapping[str, Any]) -> Figure | None:
    """Draw the share of the majority: a histogram over clips, and its mean by class; None without votes."""
    found = report["agreement"]
    if found is None:
        return None
    shares = dict(list(found["majority_share_by_class"].items())[:MOST_CLASSES])
    figure = Figure(figsize=(10, float(np.clip(0.3 * len(shares), 1.8, 12)) + 0.9), layout="constrained")
    every, by_class = figure.subplots(1, 2)
    _histogram(every, found["majority_share"], "share of a clip's votes that the majority has")
    every.xaxis.set_major_formatter(PercentFormatter(1))
    by_class.barh(range(len(shares)), list(shares.values()), color=COLOURS[0], height=0.7)
    by_class.set_yticks(range(len(shares)), [short(one) for one in shares], **_words())
    by_class.set_ylim(len(shares) - 0.5, -0.5)
    by_class.set_xlim(0, 1)
    by_class.xaxis.set_major_formatter(PercentFormatter(1))
    _dress(by_class, "mean share of the majority by class")
    return figure


def values_figure(report: Mapping[str, Any]) -> Figure | None:
    """Draw a histogram of each named value; None without values."""
    values = report["values"]
    if not values:
        return None
    columns = min(3, len(values))
    rows = -(-len(values) // columns)
    figure = Figure(figsize=(3.5 * columns, 2.6 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for axes, value in zip(panels, values, strict=False):
        _histogram(axes, value, short(value["name"]))
    for axes in list(panels):
        axes.set_visible(False)
    return figure


def png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG file; the same figure gives the same bytes."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None})
    return file.getvalue()


def short(name: str) -> str:
    """Return a name, or its beginning where it is long."""
    name = name or "(none)"
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}\N{HORIZONTAL ELLIPSIS}"


def _histogram(
    axes: Axes, found: Mapping[str, Any], title: str, colour: str = COLOURS[0], label: str | None = None
) -> None:
    edges: Sequence[float] = found["edges"]
    axes.stairs(found["counts"], edges, fill=True, color=colour, alpha=0.75, label=label)
    _dress(axes, title)
    if len(edges) > 2 and edges[0] > 0 and not np.isclose(edges[1] - edges[0], edges[-1] - edges[-2]):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylabel("clips", color=INK, fontsize=9)


def _words() -> dict[str, Any]:
    return {"fontsize": 8, "color": INK, "parse_math": False}


def _dress(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=10, color=INK, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#E8E8E8", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, color=FAINT)
