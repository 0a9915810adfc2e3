"""Results of a fine-tuning with targets other than one class: a table, a picture and a section of the report a task."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from serjax.config.experiment import Experiment
from serjax.data.dataset import Data
from serjax.evaluation.history import Row, chosen_histories, kept_row
from serjax.evaluation.layer_page import save_weights
from serjax.evaluation.model_card import model_card
from serjax.evaluation.out_of_fold import attribute_columns
from serjax.evaluation.plots import curves_figure, save_png
from serjax.evaluation.report import RunFacts, facts_notes, interval_notes
from serjax.evaluation.task_answers import TaskAnswers, write_task_csv
from serjax.evaluation.task_plots import task_figure
from serjax.evaluation.task_report import task_section
from serjax.evaluation.task_scores import known_rows
from serjax.evaluation.tasks import places
from serjax.runs.layer_weights import read_layer_weights
from serjax.runtime.constraints import to_json
from serjax.runtime.disk import write_text
from serjax.training.trials import Trial

Report = dict[str, Any]


def task_answers(
    data: Data, trials: Sequence[Trial], answers: Sequence[np.ndarray], chosen: Sequence[dict[int, int]]
) -> list[list[TaskAnswers]]:
    """Return, task by task and seed by seed, the answers for all tested clips that have its target.

    Args:
        data: the clips with their targets.
        trials: all that were trained.
        answers: of each trial for the clips that it tests.
        chosen: seed by seed the position of each fold's trial.
    """
    assert data.targets is not None
    utterances, found = data.store.utterances, []
    for task, place in zip(data.targets.tasks, places(data.targets.tasks), strict=True):
        seeds = []
        for folds in chosen:
            rows = [(fold, clip, answers[k][i]) for fold, k in folds.items() for i, clip in enumerate(trials[k].test)]
            truth = data.targets.values[[clip for _, clip, _ in rows], place]
            own = known_rows(truth)
            clips = [utterances[rows[i][1]] for i in own]
            seeds.append(
                TaskAnswers(
                    task,
                    ids=tuple(clip.id for clip in clips),
                    fold=np.array([rows[i][0] for i in own]),
                    truth=truth[own],
                    answer=np.stack([rows[i][2][place] for i in own]),
                    speaker=tuple(clip.speaker for clip in clips),
                    attributes=attribute_columns([clip.attributes for clip in clips]),
                )
            )
        found.append(seeds)
    return found


def write_target_results(
    folder: Path,
    experiment: Experiment,
    facts: RunFacts,
    tasks: Sequence[Sequence[TaskAnswers]],
    history: Sequence[Row],
) -> Report:
    """Write the scores and pictures of a run, whose models are written, to `folder`; return its report.

    Files are oof_TASK.csv and TASK.png of each task, curves.png, README.md and, last, report.json.

    Raises:
        UserError: the disk is full, or the folder cannot be written to.
    """
    settings = json.loads(to_json(experiment))
    sections = [task_section(seeds, experiment.seed) for seeds in tasks]
    kept = {
        fold: {
            "kept_epoch": kept_row(rows)["epoch"],
            "epochs": rows[-1]["epoch"],
            "learning_rate": kept_row(rows).get("learning_rate"),
        }
        for fold, rows in chosen_histories(history).items()
    }
    for section in sections:
        section["folds"] = [fold | kept[fold["fold"]] for fold in section["folds"]]
    said = [note for section in sections for note in interval_notes(section["interval"])]
    report: Report = {
        "experiment": settings,
        "facts": json.loads(json.dumps(facts.__dict__)),
        "labels": [name for section in sections for name in section["outputs"]],
        "tasks": sections,
        "folds": sections[0]["folds"],
        "seeds": {"count": len(tasks[0])} if len(tasks[0]) > 1 else None,
        "layer_weights": read_layer_weights(folder),
        "notes": [*facts_notes(settings, facts), *dict.fromkeys(said)],
    }
    for seeds, section in zip(tasks, sections, strict=True):
        write_task_csv(folder / f"oof_{section['name']}.csv", *seeds)
        save_png(folder / f"{section['name']}.png", task_figure(seeds[0], section))
    save_png(folder / "curves.png", curves_figure(chosen_histories(history)))
    save_weights(folder, report)
    write_text(folder / "README.md", model_card(report))
    write_text(folder / "report.json", json.dumps(report, indent=2, allow_nan=False) + "\n")
    return report
