"""Jobs of a run, each of which trains some folds in a folder of its own: their records, and how they fit together."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import pydantic

from serjax.checkpoints.formats.tensors import read_file, write_tensors
from serjax.config.experiment import JOBS, Experiment
from serjax.data.dataset import Data
from serjax.data.folds.fold import read_numbers
from serjax.evaluation.out_of_fold import OutOfFold, read_oof_csv
from serjax.evaluation.report import Report
from serjax.runs.folder import differences
from serjax.runtime.constraints import FoldNumber, read_as, to_json
from serjax.runtime.disk import write_text
from serjax.runtime.errors import UserError, one_of
from serjax.runtime.fingerprint import fingerprint
from serjax.runtime.json_files import read_json

_SOURCES = "job.json"
"""Fingerprints of all that a job's numbers rest on beside the experiment."""

_RESULTS = "answers.safetensors"
"""Probabilities of all that a report is made from, row by row as oof.csv."""

_FILES = ("experiment.json", "folds.json", "model.json", "metrics.jsonl", "oof.csv", _SOURCES, _RESULTS)

_ALONE = "alone_"
_OWN = ("seconds", "command", "device")
"""Facts in which the jobs of one run may differ."""


class Results(NamedTuple):
    """Out-of-fold answers that a run's report is made from.

    Attributes:
        seeds: of the kept epochs, seed by seed.
        last: of the last epoch of the first seed, where the test clips chose the kept one.
        alone: of the kept epochs of the first seed, by the one modality that was given.
    """

    seeds: Sequence[OutOfFold]
    last: OutOfFold | None
    alone: Mapping[str, OutOfFold]


@dataclass(frozen=True)
class _Row:
    fold: FoldNumber


@dataclass(frozen=True)
class _Report:
    """The part of a job's report.json that is read."""

    folds: Annotated[tuple[_Row, ...], pydantic.Field(min_length=1)]
    facts: dict[str, Any]


_AGAIN = "train this job again with --overwrite"


class Job(NamedTuple):
    """A finished job.

    Attributes:
        folder: its folder.
        experiment: its settings.
        folds: numbers of the folds that it has trained.
        report: contents of its report.json.
    """

    folder: Path
    experiment: Experiment
    folds: tuple[int, ...]
    report: Report


def write_sources(folder: Path, data: Data, *weights: Any) -> None:
    """Write to a job's folder fingerprints of what it is made from, by which its neighbours are compared with it.

    Args:
        folder: of the job.
        data: clips, labels and the division into all folds.
        weights: pytrees of all that training starts from or mixes in.

    Raises:
        UserError: the folder cannot be written.
    """
    clips = data.store.utterances
    frames = () if data.frames is None else data.frames.hashes
    sources = {
        "recordings": fingerprint(data.store.hashes, frames),
        "labels": fingerprint(data.labels, [(clip.id, clip.label, clip.speaker, clip.attributes) for clip in clips]),
        "folds": fingerprint(data.folds),
        "pretrained weights": fingerprint(*weights),
    }
    write_text(folder / _SOURCES, json.dumps(sources) + "\n")


def save_results(folder: Path, results: Results) -> None:
    """Write a job's answers, whose clips oof.csv names.

    Raises:
        UserError: the folder cannot be written.
    """
    arrays = {f"{_ALONE}{name}": one.probability for name, one in results.alone.items()}
    if results.last is not None:
        arrays["last"] = results.last.probability
    arrays["seeds"] = np.stack([one.probability for one in results.seeds])
    write_tensors(folder / _RESULTS, arrays)


def read_results(folder: Path) -> Results:
    """Read a finished job's answers.

    Raises:
        UserError: a file is missing, damaged, or not of the same clips as the other.
    """
    path, oof = folder / _RESULTS, read_oof_csv(folder / "oof.csv")
    found = dict(read_file(path))
    shape, seeds = oof.probability.shape, found.pop("seeds", np.empty(0))
    if any(one.shape != shape for one in [*seeds, *found.values()]) or not np.array_equal(seeds[:1], [oof.probability]):
        raise UserError(f"{path}: it is not of the clips of oof.csv; train this job again with --overwrite.")
    last = found.pop("last", None)
    return Results(
        seeds=[replace(oof, probability=one) for one in seeds],
        last=None if last is None else replace(oof, probability=last),
        alone={name.removeprefix(_ALONE): replace(oof, probability=one) for name, one in found.items()},
    )


def find_jobs(run: Path) -> list[Job]:
    """Return the jobs of a run, which have trained each of its folds once; the first fold's job comes first.

    Args:
        run: the run folder, below which the jobs' folders are.

    Raises:
        UserError: there are none, or they do not make one run: a fold is missing, trained twice or not yet trained to
            its end, or the jobs differ in settings, data or versions; all of it is told, a line each.
    """
    folders = sorted(path for path in (run / JOBS).glob("[!.]*") if path.is_dir()) if run.is_dir() else []
    if not folders:
        raise UserError(
            f"{run}: there are no jobs in it; give the run folder of trainings with --folds.only N --job, such as "
            "checkpoints/hubert_kfold."
        )
    jobs, problems, begun = [], [], set()
    for folder in folders:
        if not (folder / "report.json").is_file():
            begun |= _asked_for(folder)
            problems.append(f"{folder}: the job is not finished; enter its command again to go on where it stopped.")
            continue
        missing = [name for name in _FILES if not (folder / name).is_file()]
        if missing:
            begun |= _asked_for(folder)
            problems.append(f"{folder}: it has no {one_of(missing)}; copy all its files, or train it with --overwrite.")
            continue
        experiment = read_as(Experiment, folder / "experiment.json", _AGAIN, others="forbid")
        asked = read_as(_Report, folder / "report.json", _AGAIN)
        report = read_json(folder / "report.json", remedy=_AGAIN)
        jobs.append(Job(folder, experiment, tuple(row.fold for row in asked.folds), report))
    for job in jobs[1:]:
        found = _differing(jobs[0], job)
        if found:
            problems.append(
                f"{job.folder}: it differs from {jobs[0].folder.name} in {one_of(found)}; train one of them again as "
                "the others were, or remove its folder."
            )
    every = read_numbers(jobs[0].folder / "folds.json") if jobs else ()
    strange = [job.folder.name for job in jobs if not set(job.folds) <= set(every)]
    problems += [f"{name}: its report.json has folds that folds.json has not; {_AGAIN}." for name in strange]
    for number in every:
        owners = [job.folder.name for job in jobs if number in job.folds]
        if not owners and number not in begun:
            problems.append(f"fold {number} is missing; train it with --folds.only {number} --job.")
        if len(owners) > 1:
            problems.append(f"fold {number} is in {' and in '.join(owners)}; remove one of these folders.")
    if problems:
        raise UserError("\n".join([f"{run}: its jobs do not make one run yet:", *problems]))
    return sorted(jobs, key=lambda job: min(map(every.index, job.folds)))


def _asked_for(folder: Path) -> set[int]:
    """Return the folds that an unfinished job is to train, as far as it says so."""
    try:
        return set(read_json(folder / "experiment.json")["folds"]["only"])
    except (UserError, KeyError, TypeError):
        return set()


def _differing(first: Job, other: Job) -> list[str]:
    """Return in what two jobs differ that one run must have in common."""
    settings = [
        json.loads(to_json(replace(job.experiment, folds=replace(job.experiment.folds, only=None))))
        for job in (first, other)
    ]
    sources = [read_json(job.folder / _SOURCES, remedy=_AGAIN) for job in (first, other)]
    facts = [{key: value for key, value in job.report["facts"].items() if key not in _OWN} for job in (first, other)]
    found = differences(settings[0], settings[1]) + differences(sources[0], sources[1])
    # Where settings or data differ, facts such as numbers of clips follow from that.
    return found or differences(facts[0], facts[1])
