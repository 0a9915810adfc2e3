"""A run's folder: claimed by one process, and new, to be resumed or finished."""

import contextlib
import json
import logging
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import filelock

from serjax.config.experiment import JOBS, Experiment
from serjax.config.pretraining import PretrainExperiment
from serjax.data.dataset import Data
from serjax.data.folds.fold import save_folds
from serjax.data.folds.make import fold_kind
from serjax.data.known_clips import write_adapted
from serjax.runs.starts import PRETRAINED
from serjax.runtime.constraints import to_json
from serjax.runtime.disk import disk_errors, write_text
from serjax.runtime.distributed import from_first
from serjax.runtime.errors import UserError, one_of
from serjax.runtime.json_files import read_bytes, read_json
from serjax.training.config import MeshConfig
from serjax.training.metric_log import read_history
from serjax.training.resume import keep_last

log = logging.getLogger(__name__)

AnyExperiment = Experiment | PretrainExperiment
"""Settings that have a run folder."""

RESUME = "resume"
"""Folder of the states from which a stage goes on."""

FIRST_STAGE = "first_stage"
"""Folder of the log, and of the states, of the first of two stages."""

_MADE_FROM = "made_from.txt"
_DAMAGED = "choose another --name, or --overwrite to delete that run"


@contextlib.contextmanager
def claim(experiment: AnyExperiment) -> Iterator[None]:
    """Keep other runs from training into the same run folder; of several processes of a run the first claims it.

    Raises:
        UserError: another run does so already, or the folder's parent cannot be written.
    """
    with contextlib.ExitStack() as claimed:
        from_first("claim", lambda: claimed.enter_context(_claim(experiment)))
        yield


@contextlib.contextmanager
def _claim(experiment: AnyExperiment) -> Iterator[None]:
    folder = experiment.run_dir
    with disk_errors(folder.parent, "--out"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder.parent / f".{folder.name}.lock")
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            raise UserError(f"{folder}: another process is training this run; wait for it, or give a --name.") from None
    try:
        yield
    finally:
        lock.release()


def find_run(experiment: AnyExperiment, states: Path | None = None) -> bool:
    """Return whether the run folder holds this experiment, unfinished; nothing is changed.

    Args:
        experiment: what is to be run.
        states: folder of the states from which it goes on; by default the run folder.

    Raises:
        UserError: it holds a finished run or another experiment, and --overwrite is not given; or something else.
    """
    folder = experiment.run_dir
    path = folder / "experiment.json"
    finished = _last(experiment).is_file()
    if not path.is_file():
        if (folder / JOBS).is_dir():
            raise UserError(
                f"{folder}: it holds jobs that train a run's folds; put them together with python -m serjax.gather, or "
                "choose another --name or --out."
            )
        if folder.is_dir() and any(folder.iterdir()):
            raise UserError(f"{folder}: the folder is not empty and holds no run; choose another --name or --out.")
        return False
    try:
        changed = _changed(path, experiment)
    except UserError:
        changed = ["contents (experiment.json is damaged)"]
    # A run that has saved no epoch, and no labels of frames, is no loss.
    kept = (f"**/{RESUME}/**/[0-9]*", "**/labels/index.json")
    trained = finished or any(path for pattern in kept for path in (states or folder).glob(pattern))
    if trained and changed == ["train.epochs"] and not experiment.overwrite:
        _check_extension(experiment, states or folder, finished)
        return True
    if changed and trained and not experiment.overwrite:
        raise UserError(
            f"{folder}: another experiment was run here, with other {one_of(changed)}; choose another --name, or "
            "--overwrite to delete that run."
        )
    if finished and not changed and not experiment.overwrite:
        more = "a larger --train.epochs to extend it, " if _can_be_extended(experiment) else ""
        raise UserError(
            f"{folder}: this run is finished, its results are in README.md; choose {more}another --name, or "
            "--overwrite to train again."
        )
    return trained and not changed and not finished


def _can_be_extended(experiment: AnyExperiment) -> bool:
    """Return whether no update depends on how many epochs there will be."""
    return isinstance(experiment, Experiment) and experiment.optimizer.schedule == "constant"


def _check_extension(experiment: AnyExperiment, states: Path, finished: bool) -> None:
    """See that a run can go on to another number of epochs.

    Raises:
        UserError: it cannot, and why.
    """
    assert isinstance(experiment, Experiment)
    folder, epochs, history = experiment.run_dir, experiment.train.epochs, read_history(experiment.run_dir)
    before = read_json(folder / "experiment.json")["train"]["epochs"]
    last: dict[tuple[Any, ...], int] = {}
    for row in history:
        last[row["fold"], row.get("seed"), row.get("learning_rate")] = row["epoch"]
    remedy = "choose another --name, or --overwrite to start again."
    if not _can_be_extended(experiment):
        schedule = experiment.optimizer.schedule
        raise UserError(
            f"{folder}: this run was begun with --train.epochs {before}, and optimizer.schedule {schedule} is laid out "
            f"over them, so that {epochs} epochs are another run; {remedy} Runs with --optimizer.schedule constant can "
            "be extended."
        )
    if epochs < max(last.values(), default=0):
        raise UserError(f"{folder}: {max(last.values())} epochs are trained already, {epochs} are asked for; {remedy}")
    if not any(states.glob(f"**/{RESUME}/**/[0-9]*")):
        raise UserError(
            f"{folder}: the state from which it could be extended is not there, as in runs that were gathered from "
            f"jobs or searched side by side; {remedy}"
        )
    if finished and last and max(last.values()) < min(before, epochs):
        raise UserError(
            f"{folder}: every fold has stopped by train.patience before epoch {before}, so that more epochs change "
            f"nothing; {remedy}"
        )


def is_finished(experiment: AnyExperiment) -> bool:
    """Return whether the run folder holds this very experiment with its results."""
    path = experiment.run_dir / "experiment.json"
    if not path.is_file() or not _last(experiment).is_file():
        return False
    return not _changed(path, experiment)


def _changed(path: Path, experiment: AnyExperiment) -> list[str]:
    """Return the names of the settings in which an experiment.json differs; the model card's decide no number."""
    found = differences(read_json(path, remedy=_DAMAGED), json.loads(experiment_json(experiment)))
    return [name for name in found if not f"{name}.".startswith("card.")]


def begun_at_once(experiment: AnyExperiment) -> int | None:
    """Return how many folds train at once in a run that was begun; None where it does not say."""
    path = experiment.run_dir / _MADE_FROM
    noted = _noted(path)
    return int(noted[1]) if len(noted) > 1 and re.fullmatch("[0-9]{1,6}", noted[1]) else None


def _noted(path: Path) -> list[str]:
    """Return the lines of made_from.txt; none where there is no such file."""
    return read_bytes(path, remedy=_DAMAGED).decode(errors="replace").split("\n") if path.exists() else []


def begin_run(
    experiment: AnyExperiment, begun: bool, made_from: str, layout: str = "", at_once: int | None = None
) -> bool:
    """Make the folder anew, in place of whatever run `find_run` found there; one that was begun before stays.

    Args:
        experiment: what is run.
        begun: what `find_run` returned.
        made_from: fingerprint of all that training rests on and that the experiment does not say: recordings, folds,
            pretrained weights.
        layout: a sentence on the devices; on others the run goes on with other rounding.
        at_once: how many folds train at once, which a run that goes on keeps.

    Returns:
        True where the run that was begun goes on.

    Raises:
        UserError: the run was begun from something else, and --overwrite is not given; or it cannot be written.
    """
    folder = experiment.run_dir
    path = folder / _MADE_FROM
    noted = _noted(path)
    if begun and noted and noted[0] == made_from:
        before = noted[2] if len(noted) > 2 else ""
        if before and before != layout:
            log.info(f"This run was begun on {before} On these its numbers agree with those to rounding alone.")
        if _changed(folder / "experiment.json", experiment) and isinstance(experiment, Experiment):
            log.info(f"The run is extended to {experiment.train.epochs} epochs.")
            _last(experiment).unlink(missing_ok=True)
            write_text(folder / "experiment.json", experiment_json(experiment))
        return True
    if begun and not experiment.overwrite:
        raise UserError(
            f"{folder}: since this run was stopped, its recordings, folds or pretrained weights changed, or whether "
            "folds train together; restore them, choose another --name, or --overwrite to start again."
        )
    with disk_errors(folder, "--out"):
        if folder.is_dir():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
    write_text(path, "\n".join([made_from, "" if at_once is None else str(at_once), layout]))
    write_text(folder / "experiment.json", experiment_json(experiment))
    return False


def end_run(experiment: AnyExperiment) -> None:
    """Remove what only a run that goes on needs; of one that can be extended the last states stay."""
    folder = experiment.run_dir
    if _can_be_extended(experiment):
        for states in (path for stage in folder.glob(f"**/{RESUME}") for path in (stage, *stage.glob("trials_*"))):
            keep_last(states)
        return
    for states in list(folder.glob(f"**/{RESUME}")):
        shutil.rmtree(states, ignore_errors=True)
    (folder / _MADE_FROM).unlink(missing_ok=True)


def _last(experiment: AnyExperiment) -> Path:
    """Return the file that a run writes last."""
    return experiment.run_dir / ("report.json" if isinstance(experiment, Experiment) else PRETRAINED)


def experiment_json(experiment: AnyExperiment) -> str:
    """Return the contents of experiment.json: all settings but those of place and memory, which decide no number."""
    folds, data = replace(experiment.folds, at_once=None), replace(experiment.data, keep_decoded=True)
    placed = replace(experiment, out="checkpoints", overwrite=False, folds=folds, data=data, mesh=MeshConfig())
    return to_json(placed if isinstance(placed, PretrainExperiment) else replace(placed, push_to_hub=None)) + "\n"


def differences(old: Any, new: Any, prefix: str = "") -> list[str]:
    """Return the dotted names of the values in which two JSON objects differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = dict.fromkeys([*old, *new])
        return [name for key in keys for name in differences(old.get(key), new.get(key), f"{prefix}{key}.")]
    return [] if old == new else [prefix.removesuffix(".")]


def write_folds(experiment: Experiment, data: Data) -> None:
    """Write the run's folds.json, and the hashes of clips that it adapts to."""
    clips = data.store.utterances
    kind = fold_kind(clips, experiment.folds)
    save_folds(
        experiment.run_dir / "folds.json",
        data.folds,
        clips,
        kind=kind,
        seed=experiment.seed,
        hashes=data.store.hashes,
    )
    if data.unlabelled is not None:
        write_adapted(experiment.whole_dir, data.unlabelled.hashes)
