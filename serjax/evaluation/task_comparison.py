"""Two runs with targets other than one class on the same clips: their scores and the paired difference."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from serjax.evaluation.task_answers import TaskAnswers, read_task_csv
from serjax.evaluation.task_report import Section, task_difference, task_section
from serjax.evaluation.tasks import Task
from serjax.runtime.constraints import read_as
from serjax.runtime.errors import UserError


@dataclass(frozen=True)
class _Report:
    """The part of a report.json that is read: its tasks, where it has some."""

    tasks: tuple[Task, ...] | None = None


def read_tasks(run: Path) -> dict[str, TaskAnswers] | None:
    """Return the answers of a run by the names of its tasks, of several seeds their means; None for one class.

    Raises:
        UserError: a file of the run is missing or damaged.
    """
    path = run / "report.json"
    if not path.is_file():
        return None
    tasks = read_as(_Report, path, "train the run again").tasks
    if not tasks:
        return None
    found = {}
    for task in tasks:
        seeds = read_task_csv(run / f"oof_{task.name}.csv", task)
        found[task.name] = replace(seeds[0], answer=np.stack([seed.answer for seed in seeds]).mean(0))
    return found


def compare_tasks(
    ours: Mapping[str, TaskAnswers], theirs: Mapping[str, TaskAnswers], seed: int
) -> list[tuple[str, int, Section, Section, Mapping[str, Any]]]:
    """Return name, clips, sections of both and difference of each task that two runs have in common.

    Args:
        ours: answers of a run.
        theirs: answers of another.
        seed: decides the draws.

    Raises:
        UserError: they have no task with the same outputs, or no clip, in common.
    """
    found = []
    for name, one in ours.items():
        other = theirs.get(name)
        if other is None or other.task != one.task:
            continue
        place = {clip: row for row, clip in enumerate(other.ids)}
        common = [(row, place[clip]) for row, clip in enumerate(one.ids) if clip in place]
        if not common:
            raise UserError(f"task {name}: the runs have tested no clip in common; give runs on the same --data.root.")
        own, their = zip(*common, strict=True)
        first, second = rows(one, own), rows(other, their)
        sections = task_section([first], seed), task_section([second], seed)
        found.append((name, len(common), *sections, task_difference(first, second, seed)))
    if not found:
        raise UserError(
            f"the runs have no task in common: {', '.join(ours)} and {', '.join(theirs)}; give runs with one --target."
        )
    return found


def rows(answers: TaskAnswers, chosen: Sequence[int]) -> TaskAnswers:
    """Return the answers for some clips."""
    own = list(chosen)
    return replace(
        answers,
        ids=tuple(answers.ids[i] for i in own),
        fold=answers.fold[own],
        truth=answers.truth[own],
        answer=answers.answer[own],
        speaker=tuple(answers.speaker[i] for i in own),
        attributes={},
    )
