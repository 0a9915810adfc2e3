"""Exports of a run or a published classifier into a folder."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import numpy as np

from serjax.checkpoints.bundle import Models
from serjax.checkpoints.run_models import read_run
from serjax.inference.ensemble import Ensemble
from serjax.inference.export.onnx_files import write_onnx
from serjax.inference.export.program import FORMAT, Program, program
from serjax.inference.export.stablehlo import write_stablehlo
from serjax.inference.export.transformers_folder import write_transformers
from serjax.inference.load import find, read_models
from serjax.runtime.disk import atomic_folder, disk_errors
from serjax.runtime.errors import UserError, one_of
from serjax.runtime.version import __version__

log = logging.getLogger(__name__)

Kind = Literal["onnx", "stablehlo", "hf"]
DESCRIPTION = "export.json"


class Options(NamedTuple):
    """Choices of an export.

    Attributes:
        fold: export this fold alone.
        weights: how much each fold counts; equally by default.
        int8: write an ONNX model with weights of 8 bits too.
        adapter: write a fold's adapters for PEFT too.
    """

    fold: int | None = None
    weights: tuple[float, ...] | None = None
    int8: bool = False
    adapter: bool = False


def export(source: str, kind: Kind, out: Path, options: Options = Options()) -> dict[str, str]:  # noqa: B008
    """Write an export; return what each of its files is.

    Args:
        source: folder of a finished run, or a Hugging Face directory or hub id of a classifier.
        kind: of the export.
        out: a folder that is empty, or not there yet.
        options: choices.

    Raises:
        UserError: there is no such model or fold, it cannot be exported so, or the folder has files already.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out}: it is not an empty folder; give a new one.")
    if options.int8 and kind != "onnx":
        raise UserError(f"--int8 rounds an ONNX model, but --to {kind} writes none; leave it out, or take --to onnx.")
    if options.adapter and kind != "hf":
        raise UserError(f"--adapter writes for PEFT, but --to is {kind}; leave it out, or take --to hf.")
    if kind == "hf" and options.weights is not None:
        raise UserError("--weights weighs folds, but --to hf writes one of them; leave it out.")
    made = None if kind == "hf" else _program(source, options)
    with disk_errors(out, "--out"):
        if out.is_dir():
            out.rmdir()
        with atomic_folder(out) as folder:
            if made is None:
                files = _hf(source, folder, options)
            else:
                log.info(_about(made))
                files = (
                    write_stablehlo(made, folder)
                    if kind == "stablehlo"
                    else write_onnx(made, folder, int8=options.int8)
                )
                _write(folder, made.describe(kind, files))
    return files | {DESCRIPTION: "labels, rate, window and how the model is called"}


def _write(folder: Path, description: object) -> None:
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def _hf(source: str, folder: Path, options: Options) -> dict[str, str]:
    run, own = find(source)
    if not own:
        raise UserError(f"{source}: it is a checkpoint of transformers already; give a run, or another --to.")
    if read_run(run).tasks:
        raise UserError(f"{source}: its target is not one class by cross-entropy; give another --to.")
    files, sentence = write_transformers(run, folder, options.fold, adapter=options.adapter)
    log.info(sentence)
    _write(folder, {"format": FORMAT, "serjax": __version__, "kind": "hf", "about": sentence, "files": files})
    return files


def _program(source: str, options: Options) -> Program:
    """Return what is exported of a model."""
    models = read_models(source)
    if models.tasks:
        raise UserError(
            f"{source}: it answers {one_of([task.name for task in models.tasks])} with values or several tasks, and "
            "exports are of classes or labels alone; use it with serjax."
        )
    folds = tuple(dict.fromkeys(models.folds))
    if options.fold is not None:
        if options.fold not in folds:
            known = one_of([f"{number}" for number in folds])
            raise UserError(f"--fold {options.fold}: {source} has the folds {known}; give one of them.")
        models = _only(models, options.fold)
    for note in models.notes:
        log.info(note)
    return program(models, Ensemble(models, options.weights).scoring, _name(source))


def _name(source: str) -> str:
    """Return the name of a model without the folders above it, which are of this machine alone."""
    path = Path(source).expanduser()
    return path.resolve().name if path.is_dir() else source


def _only(models: Models, fold: int) -> Models:
    """Return the members of one fold."""
    kept = np.flatnonzero(np.array(models.folds) == fold)
    params = jax.tree.map(lambda leaf: leaf[kept], models.params)
    calibration = models.calibration
    if calibration is not None:
        calibration = replace(calibration, members=tuple(calibration.members[place] for place in kept))
    return models._replace(params=params, folds=(fold,) * len(kept), calibration=calibration)


def _about(made: Program) -> str:
    """Return a sentence on what is exported."""
    members = len(made.models.folds)
    lengths = "clips of any length" if made.dynamic else f"clips padded to {made.window} samples"
    dtype = (
        "" if made.models.dtype == "float32" else f"; it was trained in {made.models.dtype} and is exported in float32"
    )
    return f"{made.name}: {members} {'member' if members == 1 else 'members'}, {lengths}{dtype}."
