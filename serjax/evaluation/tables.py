"""The table that ends a run, for a terminal and for the model card."""

from typing import Any

from rich import box
from rich.console import Group
from rich.table import Column, Table
from rich.text import Text

from serjax.evaluation.calibration_tables import (
    QUALITY_HEADINGS,
    SET_HEADINGS,
    quality_row,
    quality_rows,
    set_rows,
)
from serjax.evaluation.comparison import Comparison
from serjax.evaluation.metrics import METRICS
from serjax.evaluation.report import LEVEL, Report

SCORES = {"wa": "WA", "ua": "UA", "macro_f1": "macro-F1"}
"""Headings of `METRICS`."""


def percent(share: float | None) -> str:
    """Return 0.6734 as 67.3, and what is not defined as a dash."""
    return "-" if share is None else f"{100 * share:.1f}"


def rates_were_tried(report: Report) -> bool:
    """Return whether each fold chose among several learning rates, which only heads on a frozen encoder do."""
    return len(report["experiment"]["train"]["learning_rates"]) > 1 and report["folds"][0]["learning_rate"] is not None


def fold_headings(report: Report) -> list[str]:
    """Return the headings of `fold_rows`; a column for the learning rate only where several were tried."""
    rate = ["rate"] if rates_were_tried(report) else []
    return ["fold", "speakers", "clips", "kept\nepoch", *rate, *SCORES.values()]


def speakers_tested(fold: Report, width: int) -> str:
    """Return the names of a fold's tested speakers as `01,11,20,+2`, within a width; their number where none fits."""
    names = fold.get("tested")
    if not names:
        return "-" if fold["speakers"] is None else str(fold["speakers"])
    for shown in range(len(names), 0, -1):
        left = [f"+{len(names) - shown}"] if shown < len(names) else []
        text = ",".join([*names[:shown], *left])
        if len(text) <= width:
            return text
    return str(len(names))


def fold_rows(report: Report, width: int) -> list[list[str]]:
    """Return a row of text a fold: its test part and its scores in %.

    Args:
        report: of a run.
        width: most characters for the names of a fold's speakers.
    """
    return [
        [
            str(fold["fold"]),
            speakers_tested(fold, width),
            str(fold["clips"]),
            f"{fold['kept_epoch']}/{fold['epochs']}",
            *([f"{fold['learning_rate']:g}"] if rates_were_tried(report) else []),
            *(percent(fold[metric]) for metric in METRICS),
        ]
        for fold in report["folds"]
    ]


def summary_rows(scored: Report) -> list[list[str]]:
    """Return rows of a name and three scores in %: mean and spread over folds, all clips together, their interval.

    Args:
        scored: the report, or its `last_epoch`.
    """
    over, whole = scored["over_folds"], scored["out_of_fold"]
    level = f"{100 * scored['interval']['level']:g} %"
    return [
        ["mean ± std", *(mean_and_std(over[metric]) for metric in METRICS)],
        ["out-of-fold", *(percent(whole[metric]["score"]) for metric in METRICS)],
        [f"{level} interval", *(f"{percent(whole[m]['low'])}-{percent(whole[m]['high'])}" for m in METRICS)],
    ]


def extra_rows(report: Report) -> list[list[str]]:
    """Return rows like `summary_rows`': spread over seeds, what a modality says alone, as far as given; chance."""
    seeds, chance = report["seeds"], report["chance"]
    alone = [
        [f"{name} alone", *(percent(found[metric]) for metric in METRICS)]
        for name, found in (report.get("alone") or {}).items()
    ]
    over_seeds = [[f"{seeds['count']} seeds", *(mean_and_std(seeds[metric]) for metric in METRICS)]] if seeds else []
    if seeds and "together" in seeds:
        over_seeds.append(["seeds together", *(percent(seeds["together"][metric]) for metric in METRICS)])
    return [*over_seeds, *alone, ["chance", percent(chance["wa"]), percent(chance["ua"]), "-"]]


def mean_and_std(values: dict[str, float | None]) -> str:
    """Return `67.3 ± 4.1`, or the mean alone where a single value has no spread."""
    return percent(values["mean"]) + ("" if values["std"] is None else f" ± {percent(values['std'])}")


CLASS_HEADINGS = ["class", "clips", "precision", "recall", "F1"]
"""Headings of `class_rows`."""


def class_rows(report: Report) -> list[list[str]]:
    """Return a row of text a class: its clips, and precision, recall and F1 in %."""
    names = ("precision", "recall", "f1")
    return [[row["label"], str(row["support"]), *(percent(row[n]) for n in names)] for row in report["classes"]]


GROUP_HEADINGS = ["group", "clips", "speakers", "UA", "interval"]
"""Headings of `group_rows`."""


def group_rows(scored: dict[str, Any]) -> list[list[str]]:
    """Return a row of text a group of speakers, in %, and one for the gap between the best and the worst.

    Args:
        scored: one of the report's `groups`.
    """

    def interval(row: dict[str, Any]) -> str:
        return "-" if row["low"] is None else f"{percent(row['low'])} to {percent(row['high'])}"

    gap = scored["gap"]
    return [
        *(
            [
                row["group"],
                str(row["clips"]),
                "-" if row["speakers"] is None else str(row["speakers"]),
                percent(row["ua"]),
                interval(row),
            ]
            for row in scored["groups"]
        ),
        [f"{gap['best']} - {gap['worst']}", "", "", percent(gap["ua"]), interval(gap)],
    ]


def _group_tables(report: Report) -> list[Table]:
    """Return a table an attribute of the speakers."""
    tables = []
    for scored in report.get("groups", ()):
        tables.append(_table(f"by {scored['attribute']}, in %", GROUP_HEADINGS, gap=1))
        *groups, gap = group_rows(scored)
        for row in groups:
            tables[-1].add_row(*row)
        tables[-1].add_section()
        tables[-1].add_row(*gap)
    return tables


def evaluation_rows(report: Report) -> list[list[str]]:
    """Return rows of a name and three scores in %: all clips, their interval, chance.

    Args:
        report: what `evaluation_report` returned.
    """
    whole, chance = report["scores"], report["chance"]
    return [
        ["all clips", *(percent(whole[metric]["score"]) for metric in METRICS)],
        [
            f"{100 * report['interval']['level']:g} % interval",
            *(f"{percent(whole[metric]['low'])}-{percent(whole[metric]['high'])}" for metric in METRICS),
        ],
        ["chance", percent(chance["wa"]), percent(chance["ua"]), "-"],
    ]


def evaluation_tables(report: Report) -> Group:
    """Return, to be printed, the scores of an evaluation on other clips than a run's own, and the report's notes."""
    whole = _table("scores in %", ["", *SCORES.values()], gap=1)
    for row in evaluation_rows(report):
        whole.add_row(*row)
    classes = _table("classes, in %", CLASS_HEADINGS, gap=1)
    for row in class_rows(report):
        classes.add_row(*row)
    trust = []
    if found := report.get("calibration"):
        trust.append(plain_table("calibration", QUALITY_HEADINGS, [quality_row("all clips", found)]))
    return Group(whole, classes, *_group_tables(report), *trust, *map(Text, report["notes"]))


def comparison_table(found: Comparison, ours: str, theirs: str) -> Table:
    """Return, to be printed, the scores of two runs and their difference, with intervals."""
    table = Table(Column("scores in %", overflow="fold"), box=box.SIMPLE_HEAD, pad_edge=False)
    for name in SCORES.values():
        table.add_column(name, justify="right", no_wrap=True)
    for name, scored in ((ours, found.ours), (theirs, found.theirs), ("difference", found.difference)):
        values = [[100 * value for value in scored[metric]] for metric in METRICS]
        table.add_row(Text(name), *(f"{score:.1f}" for score, _, _ in values), style="bold")
        table.add_row(f"{100 * LEVEL:g} % interval", *(f"{low:.1f} to {high:.1f}" for _, low, high in values))
    return table


def score_tables(report: Report) -> Group:
    """Return, to be printed, the scores of every fold, over folds and out-of-fold in %, and the report's notes.

    80 columns are enough; piped, the text is the same without colour.
    """
    headings = fold_headings(report)
    # With a column more, gaps and names shrink so that the table stays within 80 columns.
    tried = rates_were_tried(report)
    table = _table(f"{report['experiment']['name']}, scores in %", headings, gap=0 if tried else 1)
    for row in fold_rows(report, width=8 if tried else 12):
        table.add_row(*row)
    table.add_section()
    blank = [""] * (len(headings) - 1 - len(METRICS))
    for name, *cells in summary_rows(report):
        table.add_row(name, *blank, *cells, style="bold" if name == "out-of-fold" else None)
    table.add_section()
    for name, *cells in extra_rows(report):
        table.add_row(name, *blank, *cells)
    tables = [table]
    if report["last_epoch"]:
        tables.append(_table("at the last epoch instead, scores in %", ["", *SCORES.values()], gap=1))
        for row in summary_rows(report["last_epoch"]):
            tables[-1].add_row(*row)
    return Group(*tables, *_group_tables(report), *_calibration_tables(report), *map(Text, report["notes"]))


def _calibration_tables(report: Report) -> list[Table]:
    """Return the calibration of a run out of fold, and how well its sets cover; older reports have none."""
    found = report.get("calibration")
    if not found:
        return []
    tables = [plain_table("calibration, out of fold", QUALITY_HEADINGS, quality_rows(found))]
    if found["sets"]:
        tables.append(plain_table("sets of labels, out of fold", SET_HEADINGS, set_rows(found)))
    return tables


def plain_table(title: str, headings: list[str], rows: list[list[str]]) -> Table:
    """Return, to be printed, rows of text under headings."""
    table = _table(title, headings, gap=1)
    for row in rows:
        table.add_row(*row)
    return table


def _table(title: str, headings: list[str], gap: int) -> Table:
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, gap, 0, 0))
    for position, heading in enumerate(headings):
        table.add_column(heading, justify="right" if position else "left", vertical="bottom", no_wrap=True)
    return table
