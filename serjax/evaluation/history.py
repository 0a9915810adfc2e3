"""Rows of metrics.jsonl: which epoch of a trial was kept, and by which score."""

import math
from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]

VALIDATION_SCORE = "validation_score"
"""Key of the score that early stopping watches, where it is not the macro-F1 of one class."""


def validation_score(row: Row) -> float:
    """Return the score that early stopping watches; minus infinity where it was not finite, or is not there."""
    score = row.get(VALIDATION_SCORE, row.get("validation_macro_f1"))
    return -math.inf if score is None else score


def kept_row(rows: Sequence[Row]) -> Row:
    """Return the row of the epoch that was kept: that of the highest validation score, the first of equal ones.

    A run that keeps the last epoch says so in its rows.
    """
    if rows[-1].get("keep") == "last":
        return rows[-1]
    return max(rows, key=validation_score)


def chosen_histories(history: Sequence[Row]) -> dict[int, list[Row]]:
    """Return each fold's rows, epoch by epoch: those of the first seed and of the learning rate that was chosen.

    The rate whose kept epoch validates best is chosen, of equal ones the one that `history` names first.
    """
    by_rate: dict[int, dict[float | None, list[Row]]] = {}
    for row in history:
        if row.get("seed") == history[0].get("seed"):
            by_rate.setdefault(row["fold"], {}).setdefault(row.get("learning_rate"), []).append(row)
    return {
        fold: max(rates.values(), key=lambda rows: validation_score(kept_row(rows))) for fold, rates in by_rate.items()
    }
