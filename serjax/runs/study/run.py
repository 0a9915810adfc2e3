"""A study: its folder, its cells in their order, and its page."""

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serjax.evaluation.report import Report
from serjax.evaluation.study_page import write_study
from serjax.evaluation.study_published import published
from serjax.evaluation.study_report import Answered, study_report
from serjax.runs.folder import differences
from serjax.runs.study.cells import Cell, answers, is_done, run_cell, stages
from serjax.runs.study.corpora import with_classes
from serjax.runs.study.engines import Engine, run_cells
from serjax.runs.study.protocols import cell_experiment
from serjax.runs.study.settings import CELLS, Study
from serjax.runtime.constraints import read_as, to_json, validate
from serjax.runtime.disk import disk_errors, write_text
from serjax.runtime.errors import UserError, one_of
from serjax.runtime.json_files import read_bytes, read_json

log = logging.getLogger(__name__)

SETTINGS = "study.json"
"""File of the study's settings, classes included."""
COMMAND = "command.txt"
GROWS = ("encoders", "corpora")
"""Settings of which a study may be asked for more later; its cells stay."""


def run_study(
    study: Study,
    command: str = "serjax.runs.study.run.run_study(...)",
    *,
    engine: Engine = "here",
    resources: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Report:
    """Do all cells of a study that are not done, write its page, and return its report.

    A cell that fails leaves its sentence in the report, and is tried again by the next call.

    Args:
        study: its settings.
        command: by which it was asked for, for the pages.
        engine: where cells are done.
        resources: of a job, by the engine's own names.
        overwrite: delete the results of another study in its folder.

    Raises:
        UserError: settings, corpora or the folder are not as they must be, or the engine cannot be used.
    """
    validate(study)
    study = with_classes(study)
    for encoder in study.encoders:
        for corpus in study.corpora:
            validate(cell_experiment(study, encoder, corpus))
    _begin(study, command, overwrite)
    for cells in stages(study):
        done = [cell for cell in cells if is_done(study, cell)]
        if done:
            log.info(f"{len(done)} of {len(cells)} cells are done already.")
        run_cells(study, [cell for cell in cells if cell not in done], command, engine, resources or {})
    report = read_report(study, command)
    written = write_study(study.folder, report)
    log.info(f"Written to {study.folder}: {', '.join(written)}.")
    return report


def run_one(folder: Path, cell: Cell) -> bool:
    """Do one cell of a study that was begun, as a job; return whether it came to an end.

    Args:
        folder: of the study.
        cell: of the study.

    Raises:
        UserError: there is no such study or cell.
    """
    path = folder / SETTINGS
    if not path.is_file():
        raise UserError(f"{folder}: there is no {SETTINGS}; a study's own jobs call this.")
    remedy = "a study's own jobs call this"
    command = read_bytes(folder / COMMAND, remedy=remedy).decode(errors="replace").strip()
    return run_cell(read_as(Study, path, remedy, others="forbid"), cell, command)


def _begin(study: Study, command: str, overwrite: bool) -> None:
    """Make the folder, or see that it holds this study, perhaps of fewer encoders or corpora.

    Raises:
        UserError: it holds another study, or something else.
    """
    folder, path = study.folder, study.folder / SETTINGS
    if path.is_file():
        try:
            old = read_json(path)
        except UserError:
            old = {}
        changed = [
            name for name in differences(old, json.loads(to_json(study))) if name not in ("out", "metric", "name")
        ]
        grown = [name for name in changed if name in GROWS and _has(json.loads(to_json(study))[name], old[name])]
        changed = [name for name in changed if name not in grown]
        if changed and not overwrite:
            raise UserError(
                f"{folder}: another study was made here, with other {one_of(changed)}; choose another --name, or "
                "--overwrite to delete its results."
            )
        if changed:
            with disk_errors(folder, "--out"):
                shutil.rmtree(folder / CELLS, ignore_errors=True)
    elif folder.is_dir() and any(path != study.cache_dir for path in folder.iterdir()):
        raise UserError(f"{folder}: the folder is not empty and holds no study; choose another --name or --out.")
    write_text(folder / COMMAND, f"{command}\n")
    write_text(path, to_json(study) + "\n")


def _has(now: list[Any], before: list[Any]) -> bool:
    """Return whether the items of before are those of now with the same names: some may have come, or gone."""
    by_name = {item["name"]: item for item in before}
    return all(by_name.get(item["name"], item) == item for item in now)


def read_report(study: Study, command: str) -> Report:
    """Return the report of a study from what its cells have left.

    Args:
        study: its settings, classes included.
        command: by which it was asked for.
    """
    cross = study.protocol == "cross"
    cells = [
        Answered(encoder.name, train.name, test.name, answers(study, encoder.name, train.name, test.name))
        for encoder in study.encoders
        for train in study.corpora
        for test in (study.corpora if cross else (train,))
    ]
    settings = json.loads(to_json(study))
    first = cell_experiment(study, study.encoders[0], study.corpora[0])
    settings["learning_rates"] = list(first.train.learning_rates)
    theirs = None
    if study.protocol == "emobox":
        theirs = published(
            [(corpus.name, Path(corpus.folds or "").name) for corpus in study.corpora],
            [(encoder.name, encoder.checkpoint) for encoder in study.encoders],
        )
        notes = [
            "EmoBox's recipe moves its rate from epoch to epoch, here it moves from step to step; and macro-F1 on the "
            "validation clips chooses the epoch."
        ]
        if not theirs["scores"]:
            notes.append("EmoBox has published no scores on these corpora.")
            theirs = None
    else:
        notes = []
    return study_report(settings, cells, command=command, published=theirs, notes=notes)
