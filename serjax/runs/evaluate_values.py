"""Evaluation of a model of values, such as arousal and valence, on clips whose values are known."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from serjax.data.target_config import TargetConfig
from serjax.data.targets import read_targets
from serjax.data.utterance import Utterance
from serjax.evaluation.markdown import bullets, table
from serjax.evaluation.out_of_fold import attribute_columns
from serjax.evaluation.plots import save_png
from serjax.evaluation.report import interval_notes
from serjax.evaluation.task_answers import TaskAnswers, write_task_csv
from serjax.evaluation.task_plots import task_figure
from serjax.evaluation.task_report import task_section
from serjax.evaluation.task_scores import known_rows
from serjax.evaluation.task_tables import each_headings, each_rows
from serjax.evaluation.tasks import Task
from serjax.inference.ensemble import Ensemble
from serjax.runtime.disk import write_text
from serjax.runtime.errors import UserError, one_of

Report = dict[str, Any]


def value_task(ensemble: Ensemble, ranges: Sequence[str], source: str) -> Task:
    """Return the task that a model of values answers, with the scale of each value.

    Args:
        ensemble: the model.
        ranges: such as `arousal=1:7`, for a published model; a run knows its own.
        source: of the model, for messages.

    Raises:
        UserError: ranges are missing, of other values, or given for a run.
    """
    own = ensemble.scoring.ranges
    if own and ranges:
        raise UserError(f"ranges: {source} knows those of its values; leave them out.")
    given = TargetConfig(kind="dimensions", dimensions=tuple(ranges)).ranges
    if not own and set(given) != set(ensemble.labels):
        example = " ".join(f"{name}=1:7" for name in ensemble.labels)
        raise UserError(
            f"{source}: it gives the values {one_of(list(ensemble.labels))}; say on which scale the corpus has them, "
            f"as in --ranges {example}."
        )
    return Task("dimensions", "dimensions", ensemble.labels, own or tuple(given[name] for name in ensemble.labels))


def value_answers(
    task: Task, clips: Sequence[Utterance], scores: Float[np.ndarray, "clips d"], *, scaled: bool
) -> TaskAnswers:
    """Return answers for the clips that have a value, as those of one fold, for the values that any clip has.

    Args:
        task: with the scale of each value.
        clips: that were answered.
        scores: values of the model.
        scaled: whether they are on that scale; else from 0 to 1.

    Raises:
        UserError: no clip has a value of the model, or some are outside their ranges.
    """
    known = {name for clip in clips for name, _ in clip.values}
    places = [place for place, name in enumerate(task.outputs) if name in known]
    if not places:
        raise UserError(
            f"no clip has {one_of(list(task.outputs))}, which the model gives; name the column of a list, as in "
            f"--data.columns {task.outputs[0]}=COLUMN."
        )
    task = replace(task, outputs=tuple(task.outputs[i] for i in places), ranges=tuple(task.ranges[i] for i in places))
    scores = scores[:, places]
    words = tuple(f"{name}={low}:{high}" for name, (low, high) in zip(task.outputs, task.ranges, strict=True))
    truth = read_targets(clips, ("",), TargetConfig(kind="dimensions", dimensions=words)).values
    if scaled:
        low, high = np.array(task.ranges).T
        scores = (scores - low) / (high - low)
    own = known_rows(truth)
    chosen = [clips[i] for i in own]
    return TaskAnswers(
        task,
        ids=tuple(clip.id for clip in chosen),
        fold=np.ones(len(own), int),
        truth=truth[own],
        answer=np.asarray(scores)[own],
        speaker=tuple(clip.speaker for clip in chosen),
        attributes=attribute_columns([clip.attributes for clip in chosen]),
    )


def value_report(answers: TaskAnswers, *, name: str, seed: int, notes: Sequence[str]) -> Report:
    """Return the report of an evaluation of values."""
    section = task_section([answers], seed)
    return {"name": name, "tasks": [section], "notes": [*notes, *interval_notes(section["interval"])]}


def write_values(folder: Path, report: Report, answers: TaskAnswers) -> None:
    """Write predictions.csv, the picture, README.md and report.json to an empty folder."""
    (section,) = report["tasks"]
    write_task_csv(folder / "predictions.csv", answers)
    save_png(folder / f"{answers.task.name}.png", task_figure(answers, section))
    interval = section["interval"]
    parts = [
        f"# {report['name']}",
        f"{section['clips']} clips; RMSE and MAE are on the corpus's scale. Intervals are percentile bootstraps that "
        f"draw {interval['resampled']}, {interval['count']} of them, {interval['draws']} times.",
        table(each_headings(section), each_rows(section)),
        f"![Answers and residuals]({answers.task.name}.png)",
        *([bullets(report["notes"])] if report["notes"] else []),
        f"## Command\n\n    {report['command']}",
    ]
    write_text(folder / "README.md", "\n\n".join(parts) + "\n")
    write_text(folder / "report.json", json.dumps(report, indent=2, allow_nan=False) + "\n")
