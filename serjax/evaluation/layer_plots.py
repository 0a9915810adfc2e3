"""Pictures of layers: the scores of probes as a curve, and the shares of a learned sum as bars."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from serjax.evaluation.plots import COLOURS, FAINT, INK
from serjax.evaluation.report import Report

_LONGEST = 40
"""Letters of an encoder's name in a title: of a longer path the end is given, which tells it apart."""


def probes_figure(report: Report, metric: str = "ua") -> Figure:
    """Draw a score of every layer's probe as a line in its interval, with chance and the layer that validation chose.

    Args:
        report: what `layer_report` returned.
        metric: the score.
    """
    rows = report["layers"]
    layers = np.array([row["layer"] for row in rows])
    score, low, high = (
        100 * np.array([np.nan if row["scores"] is None else row["scores"][metric][end] for row in rows])
        for end in ("score", "low", "high")
    )
    figure = Figure(figsize=(float(np.clip(0.32 * len(rows) + 3, 5.6, 11)), 3.8), layout="constrained")
    axes = figure.add_subplot()
    level = f"{100 * report['interval']['level']:g} % interval"
    axes.fill_between(layers, low, high, color=COLOURS[0], alpha=0.18, linewidth=0, label=level)
    axes.plot(layers, score, "o-", color=COLOURS[0], linewidth=1.8, markersize=4, label=metric.upper())
    axes.axhline(100 * report["chance"], color=FAINT, linewidth=1, linestyle="--", label="chance")
    place = rows.index(next(row for row in rows if row["layer"] == report["chosen"]))
    axes.plot(
        layers[place],
        score[place],
        "o",
        color=COLOURS[1],
        markeredgecolor="white",
        markersize=9,
        zorder=3,
        label=f"layer {report['chosen']}, chosen by validation",
    )
    name = report["encoder"] if len(report["encoder"]) <= _LONGEST else f"...{report['encoder'][-_LONGEST:]}"
    axes.set_title(f"{name}: a linear probe on each layer", fontsize=11, color=INK, parse_math=False)
    _dress(axes, f"{metric.upper()} (%)", len(rows))
    figure.legend(loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure


def weights_figure(found: Report) -> Figure:
    """Draw the shares of a learned sum of layers: bars of the means, a dot for each model, a line for equal shares.

    Args:
        found: what `weights_report` returned.
    """
    mean = 100 * np.array(found["mean"])
    layers = np.arange(len(mean))
    figure = Figure(figsize=(float(np.clip(0.32 * len(mean) + 3, 5.6, 11)), 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.bar(layers, mean, color=COLOURS[0], alpha=0.35, width=0.75, label="mean")
    for number, member in enumerate(found["members"]):
        own = 100 * np.array(member["shares"])
        name = "one model" if number == 0 else None
        axes.plot(layers, own, "o", color=COLOURS[0], markeredgecolor="white", markersize=4, label=name)
    axes.axhline(100 / len(mean), color=FAINT, linewidth=1, linestyle="--", label="equal shares")
    axes.set_ylim(bottom=0)
    axes.set_title("The learned sum of layers", fontsize=11, color=INK)
    _dress(axes, "share (%)", len(mean))
    figure.legend(loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure


def _dress(axes: Axes, heading: str, count: int) -> None:
    axes.set_xlabel("layer (0: the first block's input)", color=INK)
    axes.set_ylabel(heading, color=INK)
    axes.set_xlim(-0.6, count - 0.4)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#E8E8E8", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, color=FAINT)
