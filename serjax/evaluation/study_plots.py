"""Pictures of a study: heat maps of scores, and the critical-difference diagram of the encoders' ranks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from serjax.evaluation.plots import FAINT, INK
from serjax.evaluation.report import Report
from serjax.evaluation.study_report import score_of
from serjax.evaluation.tables import SCORES

_PANELS = 3
"""Matrices side by side, at most."""
_CELL = (1.0, 0.62)
"""Width and height of a cell in inches."""
_LOOK: dict[str, Any] = {"color": INK, "parse_math": False}


def heat_figure(report: Report) -> Figure:
    """Draw the scores in % with their intervals: encoders by corpora, or of each encoder training by tested corpus.

    The diagonal of such a matrix is framed: there a corpus is answered out of fold.
    """
    encoders, corpora, metric = report["encoders"], report["corpora"], report["metric"]
    if report["study"]["protocol"] == "cross":
        panels = {
            encoder: [[score_of(report, encoder, train, test) for test in corpora] for train in corpora]
            for encoder in encoders
        }
        rows, axis = corpora, ("tested on", "trained on")
    else:
        panels = {"": [[score_of(report, encoder, name, name) for name in corpora] for encoder in encoders]}
        rows, axis = encoders, ("", "")
    columns = min(_PANELS, len(panels))
    lines = -(-len(panels) // columns)
    names = max(map(len, rows)) * 0.085 + 0.5
    width, height = _CELL[0] * len(corpora) + names, _CELL[1] * len(rows) + 1.0
    size = (width * columns + 1.0, height * lines + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False)
    known = [cell["scores"][metric]["score"] for cell in report["cells"] if cell["scores"]]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    image = None
    for number, axes in enumerate(grid.flat):
        if number >= len(panels):
            axes.set_axis_off()
            continue
        title, matrix = list(panels.items())[number]
        image = _heat(axes, matrix, rows, corpora, metric, (low, max(high, low + 1e-6)))
        axes.set_title(title, fontsize=10, **_LOOK)
        axes.set_xlabel(axis[0], color=INK, fontsize=9)
        axes.set_ylabel(axis[1] if number % columns == 0 else "", color=INK, fontsize=9)
    assert image is not None
    bar = figure.colorbar(image, ax=grid, shrink=0.8, aspect=30)
    bar.set_label(f"{SCORES[metric]} (%)", color=INK, fontsize=9)
    ticks = [float(tick) for tick in bar.get_ticks()]
    bar.set_ticks(ticks, labels=[f"{100 * tick:g}" for tick in ticks])
    bar.ax.set_ylim(low, max(high, low + 1e-6))
    bar.outline.set_visible(False)
    return figure


def _heat(
    axes: Axes,
    matrix: Sequence[Sequence[Mapping[str, Any]]],
    rows: list[str],
    columns: list[str],
    metric: str,
    limits: tuple[float, float],
) -> Any:
    values = np.array(
        [[np.nan if cell["scores"] is None else cell["scores"][metric]["score"] for cell in row] for row in matrix]
    )
    image = axes.imshow(values, cmap="Blues", vmin=limits[0], vmax=limits[1], aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        if np.isnan(value):
            axes.text(column, row, "failed", ha="center", va="center", fontsize=8, color=FAINT)
            continue
        found = matrix[row][column]["scores"][metric]
        dark = (value - limits[0]) / (limits[1] - limits[0]) > 0.55
        colour = "white" if dark else INK
        axes.text(column, row - 0.1, f"{100 * value:.1f}", ha="center", va="center", fontsize=10, color=colour)
        axes.text(
            column,
            row + 0.24,
            f"{100 * found['low']:.0f} to {100 * found['high']:.0f}",
            ha="center",
            va="center",
            fontsize=7,
            color=colour,
        )
        if matrix[row][column]["train"] == matrix[row][column]["test"] and rows == columns:
            axes.add_patch(Rectangle((column - 0.47, row - 0.46), 0.94, 0.92, fill=False, edgecolor=INK, linewidth=1.2))
    slanted = max(map(len, columns)) > 11
    turn: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    axes.set_xticks(range(len(columns)), columns, fontsize=9, **turn, **_LOOK)
    axes.set_yticks(range(len(rows)), rows, fontsize=9, **_LOOK)
    axes.set_xticks(np.arange(1, len(columns)) - 0.5, minor=True)
    axes.set_yticks(np.arange(1, len(rows)) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    return image


def ranks_figure(report: Report) -> Figure:
    """Draw the critical-difference diagram (Demsar 2006, section 3.2.4): mean ranks on a line, the best on the left.

    Bars join encoders that Nemenyi's test cannot tell apart.
    """
    ranks = report["ranks"]
    order, means = ranks["order"], ranks["mean"]
    count, half = len(order), (len(order) + 1) // 2
    groups = ranks["groups"]
    step = 0.26
    depth = 0.3 + 0.14 * len(groups)
    height = depth + step * half + 1.0
    figure = Figure(figsize=(8.4, height), layout="constrained")
    axes = figure.add_subplot()
    margin = 0.55 * (count - 1)
    axes.set_xlim(1 - margin, count + margin)
    axes.set_ylim(-(depth + step * half), 0.85)
    axes.set_axis_off()
    axes.plot([1, count], [0, 0], color=INK, linewidth=1.2)
    for tick in range(1, count + 1):
        axes.plot([tick, tick], [0, 0.07], color=INK, linewidth=1.2)
        axes.text(tick, 0.11, str(tick), ha="center", va="bottom", fontsize=9, color=INK)
    critical = ranks["critical_difference"]
    if critical is not None:
        shown = min(critical, count - 1)
        axes.plot([1, 1 + shown], [0.45, 0.45], color=INK, linewidth=2.2, solid_capstyle="butt")
        more = "" if critical <= count - 1 else ", more than the line is long"
        axes.text(1, 0.52, f"critical difference {critical:.2f}{more}", ha="left", va="bottom", fontsize=9, color=INK)
    for place, name in enumerate(order):
        left = place < half
        level = -(depth + step * (place if left else count - 1 - place))
        edge = 1 - 0.04 * (count - 1) if left else count + 0.04 * (count - 1)
        axes.plot([means[name], means[name], edge], [0, level, level], color=INK, linewidth=0.9)
        text = f"{name} {means[name]:.2f}"
        at = edge - 0.015 * (count - 1) if left else edge + 0.015 * (count - 1)
        axes.text(at, level, text, ha="right" if left else "left", va="center", fontsize=9, **_LOOK)
    for number, (first, last) in enumerate(groups):
        level = -(0.16 + 0.14 * number)
        ends = [means[order[first]] - 0.02 * (count - 1), means[order[last]] + 0.02 * (count - 1)]
        axes.plot(ends, [level, level], color="#0072B2", linewidth=4, solid_capstyle="round")
    return figure
