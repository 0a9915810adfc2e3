"""The reliability diagram: how often answers are right, by how sure they are."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from serjax.evaluation.plots import COLOURS, FAINT, INK

FEW = 10
"""Clips of a bin below which its share is drawn pale: chance has most of it."""


def reliability_figure(panels: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Draw accuracy over confidence for each panel, with the share of clips in each bin below.

    Bars that end below the diagonal are answers that are surer than right; a dot stands at the mean score of the bin.

    Args:
        panels: by title what `serjax.evaluation.calibration.quality` returned.
    """
    figure = Figure(figsize=(0.6 + 4.2 * len(panels), 5.2), layout="constrained")
    rows = figure.subplots(2, len(panels), squeeze=False, sharex=True, height_ratios=(3, 1))
    for (title, found), above, below in zip(panels.items(), *rows, strict=True):
        bins = found["reliability"]
        width, total = 1 / len(bins), sum(one["clips"] for one in bins)
        filled = [(number, one) for number, one in enumerate(bins) if one["clips"]]
        centres = [(number + 0.5) * width for number, _ in filled]
        look: dict[str, Any] = {"width": width, "edgecolor": "white", "linewidth": 0.8}
        colours = [COLOURS[0] if one["clips"] >= FEW else COLOURS[5] for _, one in filled]
        above.bar(centres, [one["accuracy"] for _, one in filled], color=colours, **look)
        above.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle="--", label="calibrated")
        above.plot(
            [one["confidence"] for _, one in filled],
            [one["accuracy"] for _, one in filled],
            "o",
            color=COLOURS[1],
            markeredgecolor="white",
            markersize=6,
            label="mean score",
            clip_on=False,
            zorder=3,
        )
        below.bar(centres, [100 * one["clips"] / total for _, one in filled], color=FAINT, **look)
        above.set_title(f"{title}\nECE {100 * found['ece']:.1f} %", fontsize=10, color=INK, parse_math=False)
        above.set_xlim(0, 1)
        above.set_ylim(0, 1)
        below.set_xlabel("score of the most probable label", color=INK)
        for axes in (above, below):
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(color="#E8E8E8", linewidth=0.6)
            axes.set_axisbelow(True)
            axes.tick_params(labelsize=8, color=FAINT)
    rows[0, 0].set_ylabel("share that is right", color=INK)
    rows[1, 0].set_ylabel("clips, %", color=INK)
    highest = max(axes.get_ylim()[1] for axes in rows[1])
    for axes in rows[1]:
        axes.set_ylim(0, highest)
    handles, _ = rows[0, 0].get_legend_handles_labels()
    handles += [Patch(color=COLOURS[0], label="accuracy"), Patch(color=COLOURS[5], label=f"of fewer than {FEW} clips")]
    figure.legend(handles=handles, loc="outside lower center", ncols=2 * len(panels), fontsize=9, frameon=False)
    return figure


def run_panels(calibration: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the panels of a run's diagram: as trained and, where it has temperatures, calibrated.

    Args:
        calibration: what `serjax.evaluation.calibration_report.calibration_report` returned.
    """
    panels = {"as trained": calibration["before"], "calibrated": calibration["after"]}
    return {name: found for name, found in panels.items() if found}
