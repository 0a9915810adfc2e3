"""Scores of groups of speakers, such as women and men, and the gap between them."""

import re
from typing import Any

import numpy as np

from serjax.evaluation.metrics import bootstrap_uas, confusions, scores
from serjax.evaluation.out_of_fold import OutOfFold

_MOST = 20
"""Groups of an attribute from which on it is free text that no table can show."""


def score_groups(oof: OutOfFold, seed: int, *, draws: int, level: float) -> list[dict[str, Any]]:
    """Return the UA of each group of every attribute that has two to 20 groups, with intervals, and the gap.

    The gap is how much higher the UA of the best group is than that of the worst. Its interval is of the same two
    groups in every draw: the best and the worst of each draw would show a gap where there is none. Of a group of one
    speaker there is no interval, as drawing this one again says nothing of others. Clips of unknown groups are left
    out.

    Args:
        oof: every clip's answer.
        seed: decides the draws.
        draws: number of bootstrap samples, of whole speakers where they are known.
        level: share of the draws that lie within an interval.

    Returns:
        For each attribute its name, `groups` (clips, speakers, classes that occur, ua, low, high), `gap` and the number
        of clips whose group is unknown; scores from 0 to 1, and None for what there is not.
    """
    return [
        _scored(oof, name, seed, draws, level)
        for name, values in oof.attributes.items()
        if 2 <= len(set(values) - {None}) <= _MOST
    ]


def _scored(oof: OutOfFold, name: str, seed: int, draws: int, level: float) -> dict[str, Any]:
    values = oof.attributes[name]
    groups = sorted({value for value in values if value is not None}, key=_order)
    rows = np.array([row for row, value in enumerate(values) if value is not None])
    parts = np.array([groups.index(value) for value in values if value is not None])
    label, prediction, classes = oof.label[rows], oof.prediction[rows], len(oof.labels)
    speakers = None if oof.groups is None else [oof.groups[row] for row in rows]
    matrices = confusions(label, prediction, classes, parts, len(groups))
    ua = scores(matrices)["ua"]
    drawn = bootstrap_uas(label, prediction, speakers, classes, parts, len(groups), seed=seed, draws=draws)
    people = [
        None if speakers is None else len({speakers[i] for i in np.flatnonzero(parts == g)}) for g in range(len(groups))
    ]

    def interval(of: np.ndarray, *involved: int) -> dict[str, float | None]:
        if any(people[g] == 1 for g in involved):
            return {"low": None, "high": None}
        low, high = np.quantile(of[~np.isnan(of)], [(1 - level) / 2, (1 + level) / 2])
        return {"low": float(low), "high": float(high)}

    # The first and the last of equal ones, so that the gap is never between a group and itself.
    best, worst = int(ua.argmax()), len(ua) - 1 - int(ua[::-1].argmin())
    return {
        "attribute": name,
        "groups": [
            {
                "group": group,
                "clips": int(matrices[g].sum()),
                "speakers": people[g],
                "classes": int(np.count_nonzero(matrices[g].sum(1))),
                "ua": float(ua[g]),
                **interval(drawn[:, g], g),
            }
            for g, group in enumerate(groups)
        ],
        "gap": {
            "ua": float(ua[best] - ua[worst]),
            **interval(drawn[:, best] - drawn[:, worst], best, worst),
            "best": groups[best],
            "worst": groups[worst],
        },
        "unknown": len(values) - len(rows),
    }


def group_notes(groups: list[dict[str, Any]], classes: int) -> list[str]:
    """Return a sentence on every attribute whose groups do not all have clips of all classes, or are not all known."""
    notes = []
    for one in groups:
        lacking = [row["group"] for row in one["groups"] if row["classes"] < classes]
        if lacking:
            notes.append(
                f"By {one['attribute']}: {', '.join(lacking)} without clips of some classes, so that UA is a mean over "
                "fewer of them and no fair comparison."
            )
        if one["unknown"]:
            notes.append(f"By {one['attribute']}: {one['unknown']} clips whose group is unknown are left out.")
    return notes


def _order(group: str) -> tuple[float, str]:
    """Sort bands of ages by their first year, words after them."""
    number = re.match(r"\d+", group)
    return (float(number[0]) if number else float("inf"), group)
