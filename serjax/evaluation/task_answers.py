"""Answers of all folds for a task other than one class, and the table that keeps them."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from serjax.evaluation.tasks import Task
from serjax.runtime.disk import write_text
from serjax.runtime.errors import UserError, reason

_TRUE, _ANSWER = "true_", "answer_"
"""Stand before an output in the names of its columns."""
_COLUMNS = ("clip", "fold", "seed", "speaker")


@dataclass(frozen=True)
class TaskAnswers:
    """The answers of all folds for their own test clips that have the task's target; row i of every field is clip i.

    Attributes:
        task: what was asked.
        ids: the clips.
        fold: the fold that tested each clip, counted from 1.
        truth: targets; of dimensions 0 to 1 over their ranges, NaN where one is missing.
        answer: probabilities, or dimensions 0 to 1 over their ranges.
        speaker: who speaks, None where that is not known.
        attributes: gender and age of the speakers, where some are known.
    """

    task: Task
    ids: tuple[str, ...]
    fold: Int[np.ndarray, "clips"]
    truth: Float[np.ndarray, "clips c"]
    answer: Float[np.ndarray, "clips c"]
    speaker: tuple[str | None, ...]
    attributes: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)

    @property
    def groups(self) -> tuple[str | None, ...] | None:
        """The speakers that an interval draws; None where not all are known, or where there is but one."""
        return None if None in self.speaker or len(set(self.speaker)) < 2 else self.speaker


def write_task_csv(path: Path, *seeds: TaskAnswers) -> None:
    """Write one row a clip and seed: clip, fold, seed, speaker, `true_X` and `answer_X` of each output X.

    Values of dimensions are on the corpus's scale; a missing one is empty.

    Raises:
        UserError: the disk is full, or the folder cannot be written to.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    task = seeds[0].task
    writer.writerow([*_COLUMNS, *(_TRUE + name for name in task.outputs), *(_ANSWER + name for name in task.outputs)])
    for seed, one in enumerate(seeds):
        truth, answer = task.scaled(one.truth.astype(float)), task.scaled(one.answer.astype(float))
        for row, clip in enumerate(one.ids):
            values = ("" if np.isnan(value) else f"{value:.9g}" for value in [*truth[row], *answer[row]])
            writer.writerow([clip, one.fold[row], seed, one.speaker[row] or "", *values])
    write_text(path, text.getvalue())


def read_task_csv(path: Path, task: Task) -> list[TaskAnswers]:
    """Read what `write_task_csv` wrote, seed by seed.

    Raises:
        UserError: the file is missing, or is not of this task.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = list(csv.reader(file)) or [[]]
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read ({reason(error)}); give a finished run.") from None
    expected = [*_COLUMNS, *(_TRUE + name for name in task.outputs), *(_ANSWER + name for name in task.outputs)]
    if header != expected:
        raise UserError(f"{path}, line 1: the columns must be {', '.join(expected)}; train the run again.")
    numbers, count = [], len(task.outputs)
    for number, row in enumerate(rows, 2):
        try:
            numbers.append([float(cell) if cell else np.nan for cell in row[4:]])
            if len(row) != len(header) or int(row[1]) < 1 or int(row[2]) < 0:
                raise ValueError
        except ValueError:
            raise UserError(
                f"{path}, line {number}: expected {len(header)} values with numbers from the second on; write the file "
                "anew by training again."
            ) from None
    values = np.array(numbers, float).reshape(len(rows), 2 * count)
    if task.ranges:
        low, high = np.tile(np.array(task.ranges).T, 2)
        values = (values - low) / (high - low)
    seed = np.array([int(row[2]) for row in rows])
    found = []
    for one in range(max(seed, default=0) + 1):
        own = np.flatnonzero(seed == one)
        found.append(
            TaskAnswers(
                task,
                tuple(rows[i][0] for i in own),
                np.array([int(rows[i][1]) for i in own]),
                values[own, :count],
                values[own, count:],
                tuple(rows[i][3] or None for i in own),
            )
        )
    return found
