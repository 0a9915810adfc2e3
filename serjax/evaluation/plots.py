"""Pictures of a run: the confusion matrix and the training curves.

They are plain `Figure` objects, so that neither a window system nor pyplot's global state is involved.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from serjax.evaluation.history import VALIDATION_SCORE, Row, kept_row
from serjax.evaluation.report import Report
from serjax.runtime.disk import disk_errors

PANELS = {
    "train_loss": "training loss",
    "validation_loss": "validation loss",
    "validation_macro_f1": "validation macro-F1",
}
"""Columns of metrics.jsonl that the curves show, with their headings."""

_OTHER_PANELS = {"train_loss": "training loss", VALIDATION_SCORE: "validation score"}
"""The same for other targets than one class."""

# Okabe and Ito's colours, which differ for every kind of colour vision ("Color Universal Design", 2008); without
# yellow, too pale for a line, and black, which is the mean's.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_ONE_OF_MANY = "#9DB2C4"
INK = "#222222"
FAINT = "#A9B4BE"


def confusion_figure(report: Report) -> Figure:
    """Draw the confusion matrix of all clips: counts and shares of the row as text, the shares as colour."""
    counts, labels = np.array(report["confusion"]), report["labels"]
    support = counts.sum(1, keepdims=True)
    share = np.divide(counts, support, out=np.zeros(counts.shape), where=support > 0)
    classes = len(labels)
    cell = float(np.clip(5.6 / classes, 0.46, 0.95))  # inches
    size = float(np.clip(13 * cell, 6.3, 10.5))  # points
    figure = Figure(figsize=(cell * classes + 1.7, cell * classes + 1.4), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (truth, predicted), count in np.ndenumerate(counts):
        part = share[truth, predicted]
        axes.text(
            predicted,
            truth,
            f"{count}\n{100 * part:.0f} %" if count else "0",
            ha="center",
            va="center",
            fontsize=size,
            color="white" if part > 0.55 else INK if count else FAINT,
        )
    slanted = classes > 4 or max(map(len, labels)) > 9
    look: dict[str, Any] = {"fontsize": max(size, 8), "color": INK, "parse_math": False}
    axes.set_xticks(
        range(classes),
        labels,
        rotation=45 if slanted else 0,
        ha="right" if slanted else "center",
        rotation_mode="anchor",
        **look,
    )
    axes.set_yticks(range(classes), labels, **look)
    axes.set_xticks(np.arange(1, classes) - 0.5, minor=True)
    axes.set_yticks(np.arange(1, classes) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("predicted", color=INK)
    axes.set_ylabel("true", color=INK)
    # A run's own report, or that of an evaluation on other clips.
    ours = "out_of_fold" in report
    name, whole = (report["experiment"]["name"], report["out_of_fold"]) if ours else (report["name"], report["scores"])
    title = f"{name}\nUA {100 * whole['ua']['score']:.1f} %, WA {100 * whole['wa']['score']:.1f} %"
    axes.set_title(title, fontsize=11, linespacing=1.5, color=INK, parse_math=False)
    return figure


def curves_figure(histories: Mapping[int, Sequence[Row]]) -> Figure:
    """Draw losses and validation macro-F1 over the epochs: a thin line a fold, a dot at its kept epoch, and the mean.

    The mean ends where the first fold stopped: from there on it would be one over other folds.

    Args:
        histories: rows of metrics.jsonl by fold, as `chosen_histories` picks them.
    """
    many = len(histories) > len(COLOURS)
    dot = 4.5 if many else 6.5  # points
    figure = Figure(figsize=(10.5, 3.6), layout="constrained")
    shown = _OTHER_PANELS if VALIDATION_SCORE in next(iter(histories.values()))[0] else PANELS
    panels = dict(zip(shown, figure.subplots(1, len(shown)), strict=True))
    for index, (fold, rows) in enumerate(sorted(histories.items())):
        colour = _ONE_OF_MANY if many else COLOURS[index]
        kept = [kept_row(rows)]
        for key, axes in panels.items():
            axes.plot(_epochs(rows), _values(rows, key), color=colour, linewidth=1, label=f"fold {fold}")
            axes.plot(
                _epochs(kept), _values(kept, key), "o", color=colour, markeredgecolor="white", markersize=dot, zorder=3
            )
    shared = min(map(len, histories.values()))
    if len(histories) > 1:
        for key, axes in panels.items():
            mean = np.mean([_values(rows[:shared], key) for rows in histories.values()], axis=0)
            axes.plot(range(1, shared + 1), mean, color=INK, linewidth=2.2, zorder=4 if many else 2, label="mean")
    for key, axes in panels.items():
        _dress(axes, shown[key])
    scores = panels[list(shown)[-1]]
    scores.set_ylim(0, max(scores.get_ylim()[1], 0.1))
    axes.plot([], [], "o", color=FAINT, markersize=dot, label="kept epoch")
    lines, names = axes.get_legend_handles_labels()
    if many:
        lines, names = [lines[0], *lines[-2:]], [f"one of {len(histories)} folds", *names[-2:]]
    figure.legend(lines, names, loc="outside lower center", ncols=8, fontsize=9, frameon=False)
    return figure


def save_png(path: Path, figure: Figure, option: str = "--out") -> None:
    """Write the figure under a temporary name and rename it; the same figure gives the same bytes.

    Args:
        path: of the picture.
        figure: drawn already.
        option: command-line option that chooses the folder, for messages.

    Raises:
        UserError: the disk is full, or the folder cannot be written to.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    with disk_errors(path, option):
        # By default matplotlib writes its own version into the file.
        figure.savefig(temporary, format="png", dpi=160, metadata={"Software": None})
        os.replace(temporary, path)


def _epochs(rows: Sequence[Row]) -> list[int]:
    return [row["epoch"] for row in rows]


def _values(rows: Sequence[Row], key: str) -> Float[np.ndarray, "epochs"]:
    """Return the values as floats: a null of metrics.jsonl becomes NaN, a gap in the line."""
    return np.array([row[key] for row in rows], float)


def _dress(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=10, color=INK)
    axes.set_xlabel("epoch", color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#E8E8E8", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.margins(x=0.03)
    axes.tick_params(labelsize=8, color=FAINT)
