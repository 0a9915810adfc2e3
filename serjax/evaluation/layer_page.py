"""The page of probes on layers, and its table for a terminal."""

import json
from pathlib import Path

from rich.console import Group
from rich.text import Text

from serjax.evaluation.layer_plots import probes_figure, weights_figure
from serjax.evaluation.layer_report import weights_sentence
from serjax.evaluation.markdown import bullets, table
from serjax.evaluation.metrics import METRICS
from serjax.evaluation.plots import save_png
from serjax.evaluation.report import Report
from serjax.evaluation.tables import SCORES, percent, plain_table
from serjax.runtime.disk import write_text

PICTURE, WEIGHTS = "layers.png", "layer_weights.png"
"""Pictures of probes, and of a run's learned sum."""
HEADINGS = ["layer", "validation\nmacro-F1", "UA", "interval", "WA", "macro-F1"]


def write_layers(folder: Path, report: Report) -> list[str]:
    """Write the picture, README.md and, last, report.json; return their names.

    Args:
        folder: of the probes, which exists.
        report: what `layer_report` returned.

    Raises:
        UserError: the disk is full, or the folder cannot be written to.
    """
    save_png(folder / PICTURE, probes_figure(report))
    write_text(folder / "README.md", page(report))
    write_text(folder / "report.json", json.dumps(report, indent=2, allow_nan=False) + "\n")
    return ["README.md", PICTURE, "report.json"]


def rows(report: Report) -> list[list[str]]:
    """Return a row of text a layer, its scores in %; a star marks the layer that validation chose."""
    found = []
    for one in report["layers"]:
        name = f"{one['layer']}{' *' if one['layer'] == report['chosen'] else ''}"
        if one["scores"] is None:
            found.append([name, *["-"] * (len(HEADINGS) - 1)])
            continue
        ua, *others = (one["scores"][metric] for metric in ("ua", "wa", "macro_f1"))
        interval = f"{percent(ua['low'])} to {percent(ua['high'])}"
        scores = (percent(each["score"]) for each in others)
        found.append([name, percent(one["validation"]), percent(ua["score"]), interval, *scores])
    return found


def sentences(report: Report) -> list[str]:
    """Return what the numbers come to."""
    chosen, last = report["chosen"], report["last"]
    told = [f"* Layer {chosen} has the highest macro-F1 on validation clips; 0 is the first block's input."]
    if report["difference"] is None:
        return told
    each = (
        f"{SCORES[metric]} {100 * found['score']:+.1f} ({100 * found['low']:+.1f} to {100 * found['high']:+.1f})"
        for metric, found in ((metric, report["difference"][metric]) for metric in METRICS)
    )
    return [*told, f"Layer {chosen} less layer {last}, the last one, in points: {', '.join(each)}."]


def weights_section(report: Report) -> list[str]:
    """Return the section of a model card on the learned sum of layers, where there is one."""
    found = report.get("layer_weights")
    if not found:
        return []
    return [
        "## Layers",
        f"{weights_sentence(found)} Layer 0 is the first block's input. States of different layers differ in scale, so "
        "that a share does not tell how much a layer knows; `serjax.layers` probes each alone.",
        f"![Shares of the layers]({WEIGHTS})",
    ]


def save_weights(folder: Path, report: Report) -> None:
    """Draw the learned sum of layers of a run's report, where there is one.

    Raises:
        UserError: the disk is full, or the folder cannot be written to.
    """
    if report.get("layer_weights"):
        save_png(folder / WEIGHTS, weights_figure(report["layer_weights"]))


def layer_tables(report: Report) -> Group:
    """Return, to be printed, the table of all layers and what is to be said of it."""
    made = plain_table(f"{report['encoder']}, linear probes, scores in %", HEADINGS, rows(report))
    return Group(made, *map(Text, sentences(report)), *map(Text, report["notes"]))


def page(report: Report) -> str:
    """Return the README.md: the table, the curve, and how it was made."""
    train, interval = report["experiment"]["train"], report["interval"]
    name, *said = (text.replace("<", "&lt;") for text in report["corpus"])
    seeds = f"{train['seeds']} seed{'' if train['seeds'] == 1 else 's'}"
    rates = ", ".join(f"{rate:g}" for rate in train["learning_rates"])
    parts = [
        f"# Layers of {report['encoder']}",
        f"A linear layer on the mean frame of each layer, trained for {train['epochs']} epochs with {seeds}; "
        f"validation clips chose the epoch and the learning rate among {rates}, fold by fold. {report['clips']} clips "
        f"of {name} ({', '.join(report['labels'])}) are tested by folds that did not train on them.",
        f"Scores are in %, of all seeds together; the interval is a percentile bootstrap that draws "
        f"{interval['resampled']}, {interval['count']} of them, {interval['draws']} times. Chance is UA "
        f"{percent(report['chance'])}.",
        table([heading.replace("\n", " ") for heading in HEADINGS], rows(report)),
        bullets([*sentences(report), *report["notes"], *said]).replace("- * ", r"- \* "),
        f"![UA of each layer]({PICTURE})",
        f"## How it was made\n\n```sh\n{report['command']}\n```\n\nAll settings are in `experiment.json`, all numbers "
        "in `report.json`.",
    ]
    return "\n\n".join(parts) + "\n"
