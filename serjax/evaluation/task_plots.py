"""Pictures of tasks other than one class: dimensions against the truth, residuals by speaker, shares and confusions."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from serjax.evaluation.plots import COLOURS, FAINT, INK
from serjax.evaluation.task_answers import TaskAnswers
from serjax.evaluation.task_report import Section

_MOST_SPEAKERS = 40
_CELLS = 40
"""Of a side of the density."""


def dimensions_figure(answers: TaskAnswers, section: Section) -> Figure:
    """Draw each dimension's answers over the truth as density, and below it the residuals speaker by speaker."""
    names = section["outputs"]
    figure = Figure(figsize=(3.6 * len(names) + 0.4, 6.6), layout="constrained")
    grid = figure.subplots(2, len(names), squeeze=False, height_ratios=(3, 2))
    truth, answer = (answers.task.scaled(one.astype(float)) for one in (answers.truth, answers.answer))
    for place, name in enumerate(names):
        known = ~np.isnan(truth[:, place])
        scores = section["each"][place]
        low, high = section["ranges"][place]
        title = f"{name}\nCCC {_text(scores['ccc']['score'])}, RMSE {_text(scores['rmse']['score'])}"
        _density(grid[0, place], truth[known, place], answer[known, place], low, high, title)
        speakers = [answers.speaker[clip] for clip in np.flatnonzero(known)]
        _residuals(grid[1, place], answer[known, place] - truth[known, place], speakers)
    figure.suptitle(f"{section['name']}, out of fold", fontsize=11, color=INK)
    return figure


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _density(axes: Axes, truth: np.ndarray, answer: np.ndarray, low: float, high: float, title: str) -> None:
    counts, _, _ = np.histogram2d(truth, np.clip(answer, low, high), _CELLS, [[low, high]] * 2)
    axes.imshow(
        np.where(counts > 0, counts, np.nan).T,
        origin="lower",
        extent=(low, high, low, high),
        cmap="Blues",
        vmin=-0.3 * counts.max(),
        aspect="equal",
    )
    axes.plot([low, high], [low, high], color=FAINT, linewidth=1, linestyle="--")
    axes.set_title(title, fontsize=10, color=INK, parse_math=False)
    axes.set_xlabel("true", color=INK)
    axes.set_ylabel("answer", color=INK)
    _clean(axes)


def _residuals(axes: Axes, residual: np.ndarray, speakers: list[str | None]) -> None:
    """Draw a box a speaker, sorted by the median; of many speakers those at both ends."""
    by_speaker: dict[str, list[float]] = {}
    for value, speaker in zip(residual, speakers, strict=True):
        by_speaker.setdefault(speaker or "unknown", []).append(value)
    ranked = sorted(by_speaker, key=lambda name: float(np.median(by_speaker[name])))
    if len(ranked) > _MOST_SPEAKERS:
        half = _MOST_SPEAKERS // 2
        ranked = [*ranked[:half], *ranked[-half:]]
    look: dict[str, Any] = {"color": COLOURS[0], "linewidth": 0.8}
    axes.boxplot(
        [by_speaker[name] for name in ranked],
        showfliers=False,
        widths=0.6,
        boxprops=look,
        whiskerprops=look,
        capprops=look,
        medianprops={"color": COLOURS[1], "linewidth": 1.2},
    )
    axes.axhline(0, color=FAINT, linewidth=1, linestyle="--")
    axes.set_xticks(range(1, len(ranked) + 1), ranked, rotation=90, fontsize=6, parse_math=False)
    left = f" ({len(ranked)} of {len(by_speaker)})" if len(ranked) < len(by_speaker) else ""
    axes.set_xlabel(f"speaker{left}", color=INK)
    axes.set_ylabel("answer - true", color=INK)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    _clean(axes)


def shares_figure(answers: TaskAnswers, section: Section) -> Figure:
    """Draw the mean answer for clips of each class that most annotators gave, in % of the row; labels likewise."""
    names = section["outputs"]
    truth = answers.truth if section["kind"] == "multilabel" else np.eye(len(names))[answers.truth.argmax(1)]
    weight = truth.sum(0)[:, None]
    share = np.divide(truth.T @ answers.answer, weight, out=np.zeros((len(names),) * 2), where=weight > 0)
    cell = float(np.clip(5.6 / len(names), 0.5, 0.95))
    figure = Figure(figsize=(cell * len(names) + 1.9, cell * len(names) + 1.5), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), part in np.ndenumerate(share):
        colour = "white" if part > 0.55 else INK
        axes.text(column, row, f"{100 * part:.0f}", ha="center", va="center", fontsize=9, color=colour)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor", parse_math=False)
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("mean answer, %", color=INK)
    axes.set_ylabel("label of the clip" if section["kind"] == "multilabel" else "label of most annotators", color=INK)
    axes.set_title(f"{section['name']}, out of fold", fontsize=11, color=INK, parse_math=False)
    return figure


def task_figure(answers: TaskAnswers, section: Section) -> Figure:
    """Return the picture of a task."""
    draw = dimensions_figure if section["kind"] == "dimensions" else shares_figure
    return draw(answers, section)


def _clean(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
