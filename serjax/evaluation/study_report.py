"""The report of a study: the scores of every encoder on every corpus, their intervals, and the encoders' ranks."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from serjax.evaluation.metrics import METRICS, bootstrap_intervals, confusion, confusions, scores
from serjax.evaluation.out_of_fold import OutOfFold, mean_of
from serjax.evaluation.report import DRAWS, FEW_SPEAKERS, LEVEL, Report
from serjax.evaluation.study_ranks import ALPHA, rank

FEW_CORPORA = 10
"""Corpora below which the chi-square of Friedman's test is rough (Demsar 2006, section 3.2.2: N > 10, k > 5)."""


class Answered(NamedTuple):
    """Answers of heads for a corpus.

    Attributes:
        encoder: below the heads.
        train: corpus that they were trained on.
        test: corpus that they answer; where it is `train`, each clip is answered by the folds that did not train on it.
        found: answers seed by seed; or a sentence that says why there are none.
    """

    encoder: str
    train: str
    test: str
    found: Sequence[OutOfFold] | str


def study_report(
    settings: Mapping[str, Any],
    cells: Sequence[Answered],
    *,
    command: str,
    published: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
) -> Report:
    """Return the report; scores in it go from 0 to 1, and null stands for what is not there.

    Args:
        settings: of the study, as JSON has them.
        cells: every encoder, training corpus and tested corpus.
        command: by which it was asked for.
        published: scores of a benchmark by corpus and encoder, beside which these stand.
        notes: sentences for the reader.
    """
    encoders = [encoder["name"] for encoder in settings["encoders"]]
    corpora = [corpus["name"] for corpus in settings["corpora"]]
    scored = [_scored(cell, settings["seed"]) for cell in cells]
    ranks = _ranks(scored, encoders, settings["metric"])
    return {
        "study": dict(settings),
        "encoders": encoders,
        "corpora": corpora,
        "metric": settings["metric"],
        "cells": scored,
        "ranks": ranks,
        "published": published,
        "notes": [*_notes(scored, ranks, settings), *notes],
        "command": command,
    }


def _scored(cell: Answered, seed: int) -> dict[str, Any]:
    named = {"encoder": cell.encoder, "train": cell.train, "test": cell.test}
    if isinstance(cell.found, str):
        return {**named, "sentence": cell.found, "scores": None}
    return {**named, "sentence": None, **score_answers(cell.found, seed)}


def score_answers(found: Sequence[OutOfFold], seed: int) -> dict[str, Any]:
    """Return the scores of the mean answers of all seeds with their intervals, and those of each seed.

    Args:
        found: answers seed by seed.
        seed: decides the draws of the intervals.
    """
    together, classes = mean_of(found), len(found[0].labels)
    groups = together.groups
    whole = scores(confusion(together.label, together.prediction, classes))
    intervals = bootstrap_intervals(
        together.label, together.prediction, groups, classes, seed=seed, draws=DRAWS, level=LEVEL
    )
    each = [scores(confusion(one.label, one.prediction, classes)) for one in found]
    folds = [_over_folds(one) for one in found]
    return {
        "clips": len(together.ids),
        "classes": list(together.labels),
        "speakers": None if groups is None else len(set(groups)),
        "resampled": "clips" if groups is None else "speakers",
        "seeds": len(found),
        "chance": 1 / len(set(together.label.tolist())),
        "scores": {
            metric: {
                "score": float(whole[metric]),
                "low": intervals[metric][0],
                "high": intervals[metric][1],
                "each_seed": [float(one[metric]) for one in each],
                "mean_over_folds": float(np.mean([one[metric].mean() for one in folds])),
            }
            for metric in METRICS
        },
    }


def _over_folds(oof: OutOfFold) -> dict[str, np.ndarray]:
    """Return the scores of each fold."""
    numbers, index = np.unique(oof.fold, return_inverse=True)
    return scores(confusions(oof.label, oof.prediction, len(oof.labels), index, len(numbers)))


def score_of(report: Report, encoder: str, train: str, test: str) -> dict[str, Any]:
    """Return the entry of a cell."""
    wanted = (encoder, train, test)
    return next(cell for cell in report["cells"] if (cell["encoder"], cell["train"], cell["test"]) == wanted)


def _ranks(cells: Sequence[Mapping[str, Any]], encoders: Sequence[str], metric: str) -> dict[str, Any] | None:
    """Return the encoders' ranks over the pairs of corpora that all have scores for; None below two of either."""
    by_pair: dict[tuple[str, str], dict[str, float]] = {}
    for cell in cells:
        if cell["scores"] is not None:
            by_pair.setdefault((cell["train"], cell["test"]), {})[cell["encoder"]] = cell["scores"][metric]["score"]
    whole = [pair for pair, found in by_pair.items() if len(found) == len(encoders)]
    if len(whole) < 2 or len(encoders) < 2:
        return None
    found = rank(np.array([[by_pair[pair][encoder] for encoder in encoders] for pair in whole]))
    return {
        "over": [list(pair) for pair in whole],
        "mean": dict(zip(encoders, found.mean, strict=True)),
        "order": [encoders[i] for i in found.order],
        "statistic": found.statistic,
        "p": found.p,
        "alpha": ALPHA,
        "critical_difference": found.critical,
        "groups": [list(group) for group in found.groups],
        "can_tell": found.can_tell,
    }


def _notes(
    cells: Sequence[Mapping[str, Any]], ranks: Mapping[str, Any] | None, settings: Mapping[str, Any]
) -> list[str]:
    """Return what a reader of the scores should be told, a sentence each."""
    notes = []
    failed = [cell for cell in cells if cell["scores"] is None]
    if failed:
        notes.append(f"{len(failed)} of {len(cells)} cells have no scores; the sentences below say why.")
    known = [cell for cell in cells if cell["scores"] is not None]
    unnamed = sorted({cell["test"] for cell in known if cell["resampled"] == "clips"})
    if unnamed:
        notes.append(
            f"Intervals on {', '.join(unnamed)} draw single clips, since the speakers are not known; they are too "
            "narrow for new speakers."
        )
    few = sorted({cell["test"] for cell in known if cell["speakers"] is not None and cell["speakers"] < FEW_SPEAKERS})
    if few:
        notes.append(
            f"Intervals on {', '.join(few)} draw fewer than {FEW_SPEAKERS} speakers, and are rather too narrow."
        )
    if settings["protocol"] == "cross":
        notes.append(
            "On the diagonal each clip is answered by the folds that did not train on its speaker; beside it by the "
            "heads of all folds together."
        )
    if settings["max_clips"] is not None:
        notes.append(
            f"Of each corpus at most {settings['max_clips']} clips are used: these scores are for a first look."
        )
    if ranks is None:
        return notes
    blocks = len(ranks["over"])
    if settings["protocol"] == "cross":
        notes.append(
            "Ranks are over pairs of corpora, which share corpora and so are not independent, as the tests assume."
        )
    if not ranks["can_tell"]:
        notes.append(
            f"With {blocks} {'pairs of ' if settings['protocol'] == 'cross' else ''}corpora no two of "
            f"{len(ranks['mean'])} encoders can be told apart by their ranks, however far apart they are: the diagram "
            "means nothing here."
        )
    elif blocks <= FEW_CORPORA:
        notes.append(f"With {blocks} blocks Friedman's and Nemenyi's tests are rough, and the diagram means little.")
    return notes
