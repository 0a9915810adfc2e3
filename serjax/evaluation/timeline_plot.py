"""A picture of a timeline: the waveform, below it the scores of the classes, and the segments as coloured bands."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MultipleLocator

from serjax.evaluation.plots import COLOURS, FAINT, INK, save_png
from serjax.evaluation.timeline_curves import Panel
from serjax.runtime.disk import disk_errors
from serjax.runtime.errors import UserError

FILLS = (*COLOURS, "#F0E442", "#8C8C8C")
"""Colours of classes: Okabe and Ito's with their yellow, which shows as an area, and grey."""

HATCHES = ("", "////", "....", "xxxx")
"""Patterns of further rounds through the colours, for models of many classes."""

_STEPS = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400)
"""Seconds from one mark of the time axis to the next."""

_WIDTH = 12.0
"""Inches."""


def check_picture(path: Path, option: str = "--picture") -> None:
    """Make the folder of a picture.

    Raises:
        UserError: the path does not end in .png, or the folder cannot be made.
    """
    if path.suffix != ".png":
        raise UserError(f"{option} {path}: pictures are PNG files; give a name that ends in .png.")
    with disk_errors(path, option):
        path.parent.mkdir(parents=True, exist_ok=True)


def draw_timeline(
    path: Path,
    panels: Sequence[Panel],
    labels: Sequence[str],
    outputs: Literal["softmax", "sigmoid", "identity"],
    seconds: float,
    title: str,
) -> None:
    """Draw a recording: for each channel its waveform, the scores over time, and the segments.

    Scores that add up to 1 are stacked; others are lines.

    Args:
        path: of the picture.
        panels: the channels.
        labels: names of the scores.
        outputs: of the model: one class of several, each for itself, or values.
        seconds: length of the recording.
        title: of the picture.

    Raises:
        UserError: the path does not end in .png, or cannot be written.
    """
    check_picture(path)
    banded = outputs != "identity"
    heights = ([1.0, 2.2, 0.45] if banded else [1.0, 2.2]) * len(panels)
    figure = Figure(figsize=(_WIDTH, 1.1 + 1.1 * sum(heights)), layout="constrained")
    figure.suptitle(title, fontsize=11, color=INK, parse_math=False)
    rows = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    looks = {label: _look(place) for place, label in enumerate(labels)}
    each = len(heights) // len(panels)
    for number, panel in enumerate(panels):
        sound, scores, *bands = rows[number * each : (number + 1) * each]
        _draw_sound(sound, panel)
        _draw_scores(scores, panel, labels, outputs, seconds)
        for axes in bands:
            _draw_bands(axes, panel, looks, seconds)
    _mark_time(rows[-1], seconds)
    handles = [Patch(**looks[label], label=label) for label in labels]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(labels), 9), fontsize=9, frameon=False)
    save_png(path, figure, "--picture")


def _look(place: int) -> dict[str, Any]:
    """Return colour and pattern of a class."""
    hatch = HATCHES[place // len(FILLS) % len(HATCHES)]
    return {"facecolor": FILLS[place % len(FILLS)], "hatch": hatch, "edgecolor": "white", "linewidth": 0.0}


def _draw_sound(axes: Axes, panel: Panel) -> None:
    times = panel.step * (np.arange(len(panel.low)) + 0.5)
    axes.fill_between(times, panel.low, panel.high, color="0.35", linewidth=0.3)
    loudest = float(np.abs([panel.low, panel.high]).max(initial=0.0))
    axes.set_ylim(-1.05 * loudest or -1, 1.05 * loudest or 1)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(bottom=False)
    if panel.name is not None:
        axes.set_title(panel.name, fontsize=10, color=INK, loc="left", parse_math=False)


def _draw_scores(axes: Axes, panel: Panel, labels: Sequence[str], outputs: str, seconds: float) -> None:
    if outputs == "softmax":
        # A window stands for the time around its centre; the first from the beginning on, the last to the end.
        borders = np.concatenate([[0.0], (panel.times[1:] + panel.times[:-1]) / 2, [seconds]])
        times, scores = np.repeat(borders, 2)[1:-1], np.repeat(panel.scores, 2, axis=0)
        below = np.zeros(len(times))
        for place in range(len(labels)):
            above = below + scores[:, place]
            axes.fill_between(times, below, above, **_look(place))
            below = above
        axes.set_facecolor("#F1F3F5")
    else:
        for place in range(len(labels)):
            style = ("-", "--", ":", "-.")[place // len(FILLS) % 4]
            axes.plot(
                panel.times, panel.scores[:, place], color=FILLS[place % len(FILLS)], linewidth=1.2, linestyle=style
            )
        axes.grid(color="#E8E8E8", linewidth=0.6)
    if outputs != "identity":
        axes.set_ylim(0, 1)
        axes.set_yticks([0, 0.5, 1])
    axes.set_ylabel({"softmax": "probability", "sigmoid": "score"}.get(outputs, "value"), fontsize=9, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8, color=FAINT, bottom=False)


def _draw_bands(axes: Axes, panel: Panel, looks: dict[str, dict[str, Any]], seconds: float) -> None:
    for label, look in looks.items():
        spans = [(start, end - start) for start, end, own in panel.bands if own == label]
        if spans:
            axes.broken_barh(spans, (0, 1), **look)
    for start, end, label in panel.bands:
        # About 5 points a letter of 8 points, and the axes' width is nine tenths of the picture's.
        if 5.0 * len(label) + 6 <= (end - start) / seconds * 0.9 * _WIDTH * 72:
            axes.text((start + end) / 2, 0.5, label, **_ink(str(looks[label]["facecolor"])), parse_math=False)
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(labelsize=8, color=FAINT, bottom=False)


def _ink(colour: str) -> dict[str, Any]:
    """Return how text looks on a colour: white where that is dark."""
    red, green, blue = to_rgb(colour)
    dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
    return {"color": "white" if dark else INK, "fontsize": 8, "ha": "center", "va": "center", "clip_on": True}


def _mark_time(axes: Axes, seconds: float) -> None:
    axes.set_xlim(0, seconds)
    step = next((one for one in _STEPS if seconds / one <= 12), _STEPS[-1])
    axes.xaxis.set_major_locator(MultipleLocator(step))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda time, _: clock(time, seconds)))
    axes.tick_params(bottom=True, labelsize=8)
    unit = "h:min:s" if seconds >= 3600 else "min:s" if seconds >= 60 else "s"
    axes.set_xlabel(f"time, {unit}", fontsize=9, color=INK)


def clock(time: float, longest: float) -> str:
    """Return a time as 1:02:03 where the longest reaches an hour, as 2:03 where it reaches a minute, or in seconds."""
    if longest < 60:
        return f"{time:g}"
    minutes, rest = divmod(round(time), 60)
    hours, below = divmod(minutes, 60)
    return f"{hours}:{below:02}:{rest:02}" if longest >= 3600 else f"{minutes}:{rest:02}"
