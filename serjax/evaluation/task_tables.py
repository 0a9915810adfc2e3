"""Tables of tasks other than one class, for a terminal and for a page."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from serjax.evaluation.tables import percent, plain_table
from serjax.evaluation.task_report import Section
from serjax.evaluation.task_scores import KEYS, NAMES, SHARES


def shown(key: str, value: float | None) -> str:
    """Return a score as text: shares in %, others with three digits behind the point; a dash where undefined."""
    if value is None:
        return "-"
    return percent(value) if key in SHARES else f"{value:.3f}"


def with_interval(key: str, scored: Mapping[str, float | None]) -> str:
    """Return a score with its interval, such as `0.612 (0.571 to 0.650)`."""
    text = shown(key, scored["score"])
    return text if scored["low"] is None else f"{text} ({shown(key, scored['low'])} to {shown(key, scored['high'])})"


def section_rows(section: Section) -> list[list[str]]:
    """Return rows of a name, clips and scores: each fold, mean and deviation, all clips, ends of the interval."""
    keys = KEYS[section["kind"]]

    def spread(name: str, values: Mapping[str, Any]) -> list[list[str]]:
        return [
            [title, "", *(shown(key, values[key][part]) for key in keys)]
            for title, part in ((name, "mean"), ("std", "std"))
        ]

    scores, count = section["scores"], section["seeds"]
    level = f"{100 * section['interval']['level']:g} %"
    return [
        *(
            [f"fold {fold['fold']}", str(fold["clips"]), *(shown(k, fold[k]) for k in keys)]
            for fold in section["folds"]
        ),
        *spread("mean of folds", section["over_folds"]),
        *(spread(f"mean of {count['count']} seeds", count) if count else []),
        ["out-of-fold", str(section["clips"]), *(shown(key, scores[key]["score"]) for key in keys)],
        [f"{level} from", "", *(shown(key, scores[key]["low"]) for key in keys)],
        [f"{level} to", "", *(shown(key, scores[key]["high"]) for key in keys)],
    ]


def section_headings(section: Section) -> list[str]:
    """Return the headings of `section_rows`."""
    return ["", "clips", *(NAMES[key] for key in KEYS[section["kind"]])]


def each_headings(section: Section) -> list[str]:
    """Return the headings of `each_rows`."""
    if section["kind"] == "dimensions":
        return ["", "clips", *(NAMES[key] for key in KEYS["dimensions"])]
    return ["", "clips", "recall", "precision", "F1"]


def each_rows(section: Section) -> list[list[str]]:
    """Return a row of text for each dimension, class or label."""
    if section["kind"] == "dimensions":
        return [
            [one["name"], str(one["clips"]), *(with_interval(key, one[key]) for key in KEYS["dimensions"])]
            for one in section["each"]
        ]
    return [
        [one["name"], str(one["clips"]), *(percent(one[key]) for key in ("recall", "precision", "f1"))]
        for one in section["each"]
    ]


def _narrow(section: Section) -> list[list[str]]:
    """Return `each_rows` with intervals in rows of their own, so that 80 columns are enough."""
    if section["kind"] != "dimensions":
        return each_rows(section)
    keys, rows = KEYS["dimensions"], []
    for one in section["each"]:
        rows.append([one["name"], str(one["clips"]), *(shown(key, one[key]["score"]) for key in keys)])
        rows += [
            [end, "", *(shown(key, one[key][low]) for key in keys)]
            for end, low in (("  from", "low"), ("  to", "high"))
        ]
    return rows


def _named(section: Section) -> str:
    name, kind = section["name"], section["kind"]
    return name if name == kind else f"{name} ({kind})"


def task_tables(section: Section, run: str) -> list[Table]:
    """Return, to be printed, the scores of a task."""
    unit = "shares in %" if SHARES & set(KEYS[section["kind"]]) else "RMSE and MAE on the corpus's scale"
    return [
        plain_table(f"{run}, {_named(section)}, {unit}", section_headings(section), section_rows(section)),
        plain_table(f"{section['name']}, one by one", each_headings(section), _narrow(section)),
    ]


def comparison_table(
    name: str, clips: int, runs: Sequence[str], ours: Section, theirs: Section, difference: Mapping[str, Any]
) -> Table:
    """Return, to be printed, the scores of two runs on the clips that both have tested, and their difference."""
    keys = KEYS[ours["kind"]]
    scored = [*zip(runs, (ours["scores"], theirs["scores"]), strict=True), ("difference", difference)]
    rows = [[run, *(with_interval(key, found[key]) for key in keys)] for run, found in scored]
    return plain_table(f"{name} ({ours['kind']}), {clips} clips", ["", *(NAMES[key] for key in keys)], rows)


def value_tables(report: Mapping[str, Any]) -> Group:
    """Return, to be printed, the scores of values on other clips than a run's own, and the report's notes."""
    (section,) = report["tasks"]
    return Group(plain_table(report["name"], each_headings(section), _narrow(section)), *map(Text, report["notes"]))


def target_tables(report: Mapping[str, Any]) -> Group:
    """Return, to be printed, the scores of all tasks of a run, and the report's notes."""
    name = report["experiment"]["name"]
    tables = [table for section in report["tasks"] for table in task_tables(section, name)]
    return Group(*tables, *map(Text, report["notes"]))
