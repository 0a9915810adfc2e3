"""Calibration of a run, and sets of labels, as rows of tables and as a part of the model card."""

from collections.abc import Mapping
from typing import Any

from serjax.evaluation.markdown import table

QUALITY_HEADINGS = ["", "ECE %", "confidence %", "WA %", "Brier", "NLL"]
"""Headings of `quality_rows`."""

SET_HEADINGS = ["coverage asked %", "covered %", "labels a set", "sets of one label %"]
"""Headings of `set_rows`."""

DOUBT_HEADINGS = ["seeds disagree", "clips", "bits", "WA %"]
"""Headings of `doubt_rows`."""


def quality_row(name: str, found: Mapping[str, Any]) -> list[str]:
    """Return a row of text: a name, and what `serjax.evaluation.calibration.quality` returned."""
    shares = [f"{100 * found[key]:.1f}" for key in ("ece", "confidence", "accuracy")]
    return [name, *shares, f"{found['brier']:.3f}", f"{found['nll']:.3f}"]


def quality_rows(calibration: Mapping[str, Any]) -> list[list[str]]:
    """Return rows of text: before and after the temperatures, and the same of all seeds together.

    Args:
        calibration: what `serjax.evaluation.calibration_report.calibration_report` returned.
    """
    rows = [quality_row("as trained", calibration["before"])]
    if calibration["after"]:
        rows.append(quality_row(f"calibrated, T {temperatures(calibration)}", calibration["after"]))
    if calibration["together"]:
        rows.append(quality_row("seeds together", calibration["together"]["before"]))
        rows.append(quality_row("the same, calibrated", calibration["together"]["after"]))
    return rows


def set_rows(calibration: Mapping[str, Any]) -> list[list[str]]:
    """Return a row of text a coverage: share of clips whose set holds the true label, and how large sets are."""
    return [
        [
            f"{100 * one['coverage']:g}",
            f"{100 * one['covered']:.1f}",
            f"{one['size']:.2f}",
            f"{100 * one['single']:.1f}",
        ]
        for one in calibration["sets"]
    ]


def doubt_rows(calibration: Mapping[str, Any]) -> list[list[str]]:
    """Return a row of text for each quarter of the clips, from the one on which the seeds disagree least."""
    names = ("least", "less", "more", "most")
    return [
        [name, str(one["clips"]), f"{one['uncertainty']:.3f}", f"{100 * one['accuracy']:.1f}"]
        for name, one in zip(names, calibration["uncertainty"], strict=False)
    ]


def temperatures(calibration: Mapping[str, Any]) -> str:
    """Return the least and the largest temperature of the members as text, such as `0.91 to 1.21`."""
    found = [one["temperature"] for one in calibration["members"]]
    low, high = (f"{end(found):.2f}" for end in (min, max))
    return low if low == high else f"{low} to {high}"


def calibration_section(report: Mapping[str, Any]) -> list[str]:
    """Return the part of a run's card on calibration, as paragraphs of Markdown; runs of before have none.

    Args:
        report: what `serjax.evaluation.report.build_report` returned.
    """
    found = report.get("calibration")
    if not found:
        return []
    parts = [
        "## Calibration",
        f"Out of fold. ECE is the expected calibration error of the most probable label ({found['bins']} bins of equal "
        "width), beside the mean score of that label and how often it is right; the Brier score is summed over classes "
        "(0 to 2), NLL in nats. Lower is better for all three.",
        table(QUALITY_HEADINGS, quality_rows(found)),
    ]
    if found["members"]:
        parts.append(
            "Logits are divided by a temperature T that each model's validation clips chose, and answers are "
            "calibrated so unless `--raw` is given. `oof.csv` has them as trained."
        )
    parts.append("![Reliability diagram](reliability.png)")
    if found["sets"]:
        parts += [
            "Sets of labels (`--coverage`), each clip's by the validation clips of the fold that tests it:",
            table(SET_HEADINGS, set_rows(found)),
        ]
    if found["uncertainty"]:
        parts += [
            "Clips by how much the seeds disagree (mutual information), and the accuracy of the seeds together:",
            table(DOUBT_HEADINGS, doubt_rows(found)),
        ]
    return parts
