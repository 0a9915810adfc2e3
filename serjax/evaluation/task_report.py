"""Sections of a report for tasks other than one class: scores with intervals, fold by fold and output by output."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from serjax.evaluation.report import DRAWS, LEVEL
from serjax.evaluation.task_answers import TaskAnswers
from serjax.evaluation.task_scores import KEYS, bootstrap, clip_sums, dimension_scores, interval, scores_of

Section = dict[str, Any]


def task_section(seeds: Sequence[TaskAnswers], seed: int) -> Section:
    """Return the scores of a task; null stands for what is not defined.

    Args:
        seeds: answers seed by seed; folds, intervals and outputs are of the first.
        seed: decides the draws of the intervals.
    """
    first, task = seeds[0], seeds[0].task
    sums = clip_sums(task, first.truth, first.answer)
    drawn = scores_of(task, bootstrap(sums, first.groups, seed=seed, draws=DRAWS))
    whole = scores_of(task, sums.sum(0))
    folds = []
    for number in np.unique(first.fold):
        own = first.fold == number
        each = scores_of(task, sums[own].sum(0))
        folds.append(
            {"fold": int(number), "clips": int(own.sum()), **{key: _number(each[key]) for key in KEYS[task.kind]}}
        )
    section: Section = {
        "name": task.name,
        "kind": task.kind,
        "outputs": list(task.outputs),
        "ranges": [list(one) for one in task.ranges],
        "clips": len(first.ids),
        "scores": {key: _with_interval(whole[key], drawn[key]) for key in KEYS[task.kind]},
        "interval": {
            "level": LEVEL,
            "draws": DRAWS,
            "resampled": "clips" if first.groups is None else "speakers",
            "count": len(first.ids if first.groups is None else set(first.groups)),
        },
        "folds": folds,
        "over_folds": {key: _spread([fold[key] for fold in folds]) for key in KEYS[task.kind]},
        "each": _each(first, sums, seed),
        "seeds": None,
    }
    if len(seeds) > 1:
        every = [scores_of(task, clip_sums(task, one.truth, one.answer).sum(0)) for one in seeds]
        section["seeds"] = {"count": len(seeds)} | {
            key: _spread([_number(one[key]) for one in every]) for key in KEYS[task.kind]
        }
    return section


def _each(answers: TaskAnswers, sums: np.ndarray, seed: int) -> list[dict[str, Any]]:
    """Return the scores of each dimension with intervals, or recall, precision and F1 of each class or label."""
    task = answers.task
    if task.kind == "dimensions":
        whole = dimension_scores(task, sums.sum(0))
        drawn = dimension_scores(task, bootstrap(sums, answers.groups, seed=seed, draws=DRAWS))
        return [
            {"name": name, "clips": int((~np.isnan(answers.truth[:, place])).sum())}
            | {key: _with_interval(whole[key][place], drawn[key][:, place]) for key in KEYS["dimensions"]}
            for place, name in enumerate(task.outputs)
        ]
    if task.kind == "multilabel":
        yes, said = answers.truth > 0.5, answers.answer > 0.5
    else:
        places = np.arange(len(task.outputs))
        yes = answers.truth.argmax(1)[:, None] == places
        said = answers.answer.argmax(1)[:, None] == places
    hits, true, named = (yes & said).sum(0), yes.sum(0), said.sum(0)
    return [
        {
            "name": name,
            "clips": int(true[place]),
            "recall": _share(hits[place], true[place]),
            "precision": _share(hits[place], named[place]),
            "f1": _share(2 * hits[place], true[place] + named[place]),
        }
        for place, name in enumerate(task.outputs)
    ]


def task_difference(ours: TaskAnswers, theirs: TaskAnswers, seed: int) -> Mapping[str, Any]:
    """Return how much higher each score of `ours` is, with paired intervals: both are scored on the same draws.

    Args:
        ours: of a run.
        theirs: of another, for the same clips in the same order.
        seed: decides the draws.
    """
    task = ours.task
    sums = [clip_sums(task, one.truth, one.answer) for one in (ours, theirs)]
    whole = [scores_of(task, one.sum(0)) for one in sums]
    drawn = [scores_of(task, bootstrap(one, ours.groups, seed=seed, draws=DRAWS)) for one in sums]
    return {
        key: _with_interval(whole[0][key] - whole[1][key], drawn[0][key] - drawn[1][key]) for key in KEYS[task.kind]
    }


def _with_interval(value: Any, drawn: np.ndarray) -> dict[str, float | None]:
    low, high = interval(drawn, LEVEL) or (None, None)
    return {"score": _number(value), "low": low, "high": high}


def _number(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)


def _share(above: Any, below: Any) -> float | None:
    return float(above / below) if below else None


def _spread(values: Sequence[float | None]) -> dict[str, float | None]:
    known = np.array([value for value in values if value is not None])
    return {
        "mean": float(known.mean()) if len(known) else None,
        "std": float(known.std(ddof=1)) if len(known) > 1 else None,
    }
