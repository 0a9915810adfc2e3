"""Gathering of jobs: from the folds that each has trained to the run that one training of all folds would have left."""

import logging
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from serjax.checkpoints.calibration import write_calibration
from serjax.checkpoints.huggingface import ENCODER_SHARD
from serjax.checkpoints.run_models import OLD_ENCODER, fold_folder, read_run, write_model_json
from serjax.config.experiment import JOBS, Experiment
from serjax.data.folds.fold import read_numbers
from serjax.evaluation.comparison import join
from serjax.evaluation.out_of_fold import OutOfFold
from serjax.evaluation.report import Report, Row, RunFacts
from serjax.runs.calibrate import gather_calibrations
from serjax.runs.folder import FIRST_STAGE, claim, experiment_json
from serjax.runs.jobs import Job, Results, find_jobs, read_results
from serjax.runs.results import write_results
from serjax.runtime.disk import disk_errors, link, write_text
from serjax.runtime.errors import UserError, one_of
from serjax.runtime.json_files import contents_of
from serjax.training.metric_log import read_history, write_history

log = logging.getLogger(__name__)

_UNFINISHED = ".gathering"
"""Folder, in the run folder, of what is written before it takes its place."""
_LAST = "report.json"


def gather(run: str | Path, *, overwrite: bool = False, command: str | None = None) -> Report:
    """Put the folds of a run's finished jobs together, as one training of all folds would have; return its report.

    Numbers are the same, since a fold's do not depend on which are trained beside it. The jobs stay as they are and may
    be deleted afterwards. A call that is stopped changes nothing, or is finished by the next one.

    Args:
        run: the run folder, in which `jobs` is.
        overwrite: replace what a finished run, or an earlier call, left in it.
        command: by which it was asked for, for the page that is written.

    Raises:
        UserError: the jobs do not make one run (see `find_jobs`), or the folder holds a run already.
    """
    command = command or f"serjax.runs.gather.gather({str(run)!r})"
    run = Path(run).expanduser().absolute()
    jobs = find_jobs(run)
    first = jobs[0].experiment
    whole = replace(
        first,
        name=run.name,
        out=os.path.relpath(run.parent),
        overwrite=overwrite,
        job=False,
        folds=replace(first.folds, only=None),
    )
    with claim(whole):
        _check_place(run, overwrite)
        unfinished = run / _UNFINISHED
        with disk_errors(run, "--out"):
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
        try:
            report = _write(unfinished, whole, jobs, command)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        with disk_errors(run, "--out"):
            _install(unfinished, run)
    log.info(f"Written to {run}: README.md, confusion.png, curves.png, reliability.png, oof.csv, report.json, fold_N.")
    return report


def _check_place(run: Path, overwrite: bool) -> None:
    """Refuse to write over what no earlier call left unfinished."""
    others = sorted(path.name for path in run.iterdir() if path.name not in (JOBS, _UNFINISHED))
    stopped = (run / _UNFINISHED).is_dir() and not (run / "made_from.txt").is_file()
    if overwrite or not others or (stopped and _LAST not in others):
        return
    if _LAST in others:
        raise UserError(
            f"{run}: this run is finished, its results are in README.md; give --overwrite to gather its jobs again."
        )
    raise UserError(
        f"{run}: beside jobs it holds {one_of(others)}, which no gathering has left; move them away, or give "
        "--overwrite to delete them."
    )


def _install(unfinished: Path, run: Path) -> None:
    """Move what is complete to its place; report.json goes first and comes last, so that a run with it is whole."""
    for old in sorted(run.iterdir(), key=lambda path: path.name != _LAST):
        if old.name in (JOBS, _UNFINISHED):
            continue
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)
        else:
            old.unlink()
    for new in sorted(unfinished.iterdir(), key=lambda path: path.name == _LAST):
        new.rename(run / new.name)
    unfinished.rmdir()


def _write(folder: Path, whole: Experiment, jobs: Sequence[Job], command: str) -> Report:
    """Write the run that the jobs make to `folder`; return its report."""
    first = jobs[0].folder
    folds = read_numbers(first / "folds.json")
    # A frozen encoder is the same in all jobs.
    shared = fold_folder(first, jobs[0].folds[0]) / ENCODER_SHARD
    for job in jobs:
        for source in [*read_run(job.folder).members(job.folder), job.folder / OLD_ENCODER]:
            target = folder / source.relative_to(job.folder)
            if source.is_dir() and not target.exists():
                with disk_errors(folder, "--out"):
                    shutil.copytree(source, target, copy_function=partial(_link, shared=shared))
    write_text(folder / "experiment.json", experiment_json(whole))
    write_text(folder / "folds.json", (first / "folds.json").read_text(encoding="utf-8"))
    histories = {}
    for stage in ("", FIRST_STAGE):
        rows = [read_history(job.folder / stage) for job in jobs]
        histories[stage] = merge_histories(rows, folds, whole.train.learning_rates)
        if histories[stage]:
            write_history(folder / stage, histories[stage])
    calibration = gather_calibrations(jobs, folds, whole.train.seeds)
    if calibration is not None:
        write_calibration(folder, calibration)
    write_model_json(folder, replace(read_run(first), folds=folds))
    results = merge_results([(str(job.folder), read_results(job.folder)) for job in jobs], folds)
    return write_results(folder, whole, merge_facts(jobs, command), results, histories[""], calibration)


def _link(source: str, target: str, shared: Path) -> None:
    """Link a file of a model, or `shared` in place of what is the same: models are large."""
    link(shared if Path(source).name == shared.name else source, target)


def merge_histories(histories: Sequence[Sequence[Row]], folds: Sequence[int], rates: Sequence[float]) -> list[Row]:
    """Return the rows of several logs in the order of one: epochs, in each the seeds, rates and folds.

    Args:
        histories: rows of the metrics.jsonl of each job.
        folds: numbers in their order.
        rates: learning rates that were tried, in their order.
    """
    seen: Counter[tuple[int, int, int]] = Counter()
    keyed = []
    for row in (row for rows in histories for row in rows):
        epoch, seed, fold = own = row["epoch"], row.get("seed", 0), row["fold"]
        # A first stage has a rate of its own, which is the same for all rates of the second.
        rate = rates.index(row["learning_rate"]) if row.get("learning_rate") in rates else seen[own]
        seen[own] += 1
        keyed.append(((epoch, seed, rate, folds.index(fold)), row))
    return [row for _, row in sorted(keyed, key=lambda pair: pair[0])]


def merge_results(jobs: Sequence[tuple[str, Results]], folds: Sequence[int]) -> Results:
    """Return the answers of jobs as those of one run, fold by fold.

    Args:
        jobs: name and answers of each.
        folds: numbers in their order.

    Raises:
        UserError: two jobs tested the same clip, or tell other classes apart.
    """

    def merged(parts: Sequence[OutOfFold | None]) -> OutOfFold:
        every = join([(name, part) for (name, _), part in zip(jobs, parts, strict=True) if part is not None])
        order = np.argsort([folds.index(fold) for fold in every.fold], kind="stable")
        return OutOfFold(
            tuple(every.ids[row] for row in order),
            every.fold[order],
            every.label[order],
            every.probability[order],
            tuple(every.speaker[row] for row in order),
            every.labels,
            {name: tuple(values[row] for row in order) for name, values in every.attributes.items()},
        )

    parts = [results for _, results in jobs]
    return Results(
        seeds=[merged(seeds) for seeds in zip(*(part.seeds for part in parts), strict=True)],
        last=None if parts[0].last is None else merged([part.last for part in parts]),
        alone={name: merged([part.alone[name] for part in parts]) for name in parts[0].alone},
    )


def merge_facts(jobs: Sequence[Job], command: str) -> RunFacts:
    """Return the facts of jobs as those of one run: seconds are summed, devices and commands listed."""
    with contents_of("report.json of a job", "train that job again with --overwrite"):
        return _merge_facts([job.report["facts"] for job in jobs], command)


def _merge_facts(every: Sequence[Mapping[str, Any]], command: str) -> RunFacts:
    common: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in every[0].items()
    }
    common["seconds"] = sum(facts["seconds"] for facts in every)
    common["command"] = "\n".join([*(facts["command"] for facts in every), command])
    common["device"] = ", ".join(dict.fromkeys(facts["device"] for facts in every))
    return RunFacts(**common)
