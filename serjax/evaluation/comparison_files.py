"""Files of comparisons: JSON, CSV, LaTeX and a picture of the differences with their intervals."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from serjax.evaluation.comparison import Pair
from serjax.evaluation.metrics import METRICS
from serjax.evaluation.plots import COLOURS, INK, save_png
from serjax.evaluation.report import DRAWS, LEVEL
from serjax.evaluation.tables import SCORES
from serjax.runtime.disk import disk_errors, write_text
from serjax.runtime.errors import UserError

FILES = ("comparison.json", "comparison.csv", "comparison.tex", "comparison.png")
"""Files that are written to a folder."""

LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
)
"""Characters that LaTeX takes for commands, and what stands for them."""


def write_comparisons(folder: Path, pairs: Sequence[Pair], *, seed: int, overwrite: bool = False) -> None:
    """Write `FILES` to a folder, which is made where it is missing.

    Args:
        folder: where they go.
        pairs: runs, two by two, and their scores.
        seed: that decided the draws.
        overwrite: replace an earlier comparison.

    Raises:
        UserError: an earlier comparison is there, the disk is full, or the folder cannot be written to.
    """
    if (folder / FILES[0]).exists() and not overwrite:
        raise UserError(f"{folder}: an earlier comparison is there; give another --out, or --overwrite.")
    with disk_errors(folder, "--out"):
        folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "comparison.csv", as_csv(pairs))
    write_text(folder / "comparison.tex", as_latex(pairs))
    save_png(folder / "comparison.png", differences_figure(pairs))
    write_text(folder / "comparison.json", as_json(pairs, seed))


def as_json(pairs: Sequence[Pair], seed: int) -> str:
    """Return all scores, differences and intervals as JSON: shares of 1, and null for what is undefined."""
    entries = [
        {
            "run": pair.ours,
            "to": pair.theirs,
            "clips": pair.found.clips,
            "speakers": _speakers(pair),
            **{
                part: {
                    metric: dict(zip(("score", "low", "high"), map(_plain, scored[metric]), strict=True))
                    for metric in METRICS
                }
                for part, scored in (
                    ("run_scores", pair.found.ours),
                    ("to_scores", pair.found.theirs),
                    ("difference", pair.found.difference),
                )
            },
        }
        for pair in pairs
    ]
    settings = {"level": LEVEL, "draws": DRAWS, "seed": seed}
    return json.dumps({**settings, "comparisons": entries}, indent=2, allow_nan=False) + "\n"


def as_csv(pairs: Sequence[Pair]) -> str:
    """Return a row for each pair and metric; shares of 1, and nothing for what is undefined."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    parts = ("run", "to", "difference")
    columns = [f"{part}_{end}" for part in parts for end in ("score", "low", "high")]
    writer.writerow(["run", "to", "metric", *columns, "clips", "speakers_higher", "speakers_equal", "speakers_lower"])
    for pair in pairs:
        for metric in METRICS:
            values = [*pair.found.ours[metric], *pair.found.theirs[metric], *pair.found.difference[metric]]
            shown = ["" if np.isnan(value) else repr(float(value)) for value in values]
            speakers = pair.found.speakers or ("", "", "")
            writer.writerow([pair.ours, pair.theirs, metric, *shown, pair.found.clips, *speakers])
    return text.getvalue()


def as_latex(pairs: Sequence[Pair]) -> str:
    """Return a table in LaTeX (package booktabs) with scores in % and differences in points.

    A difference whose interval leaves out 0 is bold.
    """
    names = short_names(pairs)
    lines = [
        f"% Differences in points, {100 * LEVEL:g} % bootstrap intervals of {DRAWS} draws; bold: 0 lies outside.",
        rf"\begin{{tabular}}{{ll{'rr' * len(METRICS)}}}",
        r"\toprule",
        " & ".join(["Run", "Compared with", *(rf"{name} & $\Delta$" for name in SCORES.values())]) + r" \\",
        r"\midrule",
    ]
    for pair in pairs:
        cells = [names[pair.ours].translate(LATEX), names[pair.theirs].translate(LATEX)]
        for metric in METRICS:
            difference, low, high = (100 * value for value in pair.found.difference[metric])
            shown = rf"\mathbf{{{difference:+.1f}}}" if low > 0 or high < 0 else f"{difference:+.1f}"
            cells += [f"{100 * pair.found.ours[metric][0]:.1f}", rf"${shown}$ [${low:.1f}$, ${high:.1f}$]"]
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def differences_figure(pairs: Sequence[Pair]) -> Figure:
    """Draw the differences in points with their intervals, a row for each pair and a panel for each metric.

    A filled dot is a difference whose interval leaves out 0.
    """
    names = short_names(pairs)
    figure = Figure(figsize=(10.5, 1.4 + 0.42 * len(pairs)), layout="constrained")
    panels = figure.subplots(1, len(METRICS), sharey=True, squeeze=False)[0]
    for metric, axes in zip(METRICS, panels, strict=True):
        axes.axvline(0, color=INK, linewidth=0.8)
        for row, pair in enumerate(pairs):
            difference, low, high = (100 * value for value in pair.found.difference[metric])
            colour = COLOURS[0] if low > 0 else COLOURS[1] if high < 0 else "#6B7780"
            axes.plot([low, high], [row, row], color=colour, linewidth=2)
            axes.plot(
                [difference], [row], "o", color=colour, markerfacecolor=colour if low > 0 or high < 0 else "white"
            )
        axes.set_title(SCORES[metric], fontsize=10, color=INK)
        axes.set_xlabel("difference in points", fontsize=9, color=INK)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.grid(axis="x", color="#E8E8E8", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
        axes.tick_params(axis="x", labelsize=8)
    shown = {name: f"({short})" if " + " in short else short for name, short in names.items()}
    labels = [f"{shown[pair.ours]} − {shown[pair.theirs]}" for pair in pairs]  # noqa: RUF001
    panels[0].set_yticks(range(len(pairs)), labels, fontsize=9, color=INK, parse_math=False)
    panels[0].set_ylim(len(pairs) - 0.5, -0.5)
    by_clips = [pair.found.speakers is None for pair in pairs]
    of = "clips" if all(by_clips) else "speakers" + ", or clips where these are not all known" * any(by_clips)
    title = f"{100 * LEVEL:g} % intervals of a paired bootstrap over {of}; filled: 0 lies outside"
    figure.suptitle(title, fontsize=9, color=INK)
    return figure


def short_names(pairs: Sequence[Pair]) -> dict[str, str]:
    """Return the last parts of runs' paths by their names; the whole names where those do not tell them apart."""
    names = list(dict.fromkeys(name for pair in pairs for name in (pair.ours, pair.theirs)))
    short = {}
    for name in names:
        paths = [Path(part) for part in name.split(" + ")]
        short[name] = " + ".join(path.parent.name if path.name == "oof.csv" else path.name for path in paths)
    return short if len(set(short.values())) == len(names) and all(short.values()) else {name: name for name in names}


def _speakers(pair: Pair) -> dict[str, int] | None:
    """Return for how many speakers the first run's UA is higher, equal and lower."""
    if pair.found.speakers is None:
        return None
    return dict(zip(("higher", "equal", "lower"), pair.found.speakers, strict=True))


def _plain(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)
