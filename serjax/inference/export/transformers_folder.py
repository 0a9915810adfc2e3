"""Hugging Face directories of one fold of a run: its ForSequenceClassification, or the encoder and the head apart."""

import json
import shutil
from pathlib import Path

from serjax.checkpoints.formats.tensors import read_tensors, write_tensors
from serjax.checkpoints.huggingface import load_encoder, save_pretrained
from serjax.checkpoints.run_models import HEARD, RunModels, fold_folder, read_run
from serjax.checkpoints.sequence_classification import in_transformers
from serjax.models.encoders.families import FAMILIES
from serjax.models.speech import Speech
from serjax.runtime.disk import write_text
from serjax.runtime.errors import UserError, one_of

HEAD = "head.safetensors"


def chosen_fold(run: RunModels, source: Path, fold: int | None) -> int:
    """Return the fold that is exported.

    Raises:
        UserError: there is no such fold, or there are several and none is chosen.
    """
    folds = one_of([f"{number}" for number in run.folds])
    if fold is not None and fold not in run.folds:
        raise UserError(f"--fold {fold}: {source} has the folds {folds}; give one of them.")
    if fold is None and len(run.folds) > 1:
        raise UserError(
            f"{source}: a model of transformers is one fold, and the run has the folds {folds}; give one with --fold. "
            "The ensemble averages the folds' probabilities, which is no model of transformers; --to onnx writes it."
        )
    return run.folds[0] if fold is None else fold


def write_transformers(source: Path, folder: Path, fold: int | None) -> tuple[dict[str, str], str]:
    """Write a fold of a run for transformers; return what each file is, and a sentence on what it holds.

    Raises:
        UserError: it is no run of a speech encoder, or there is no such fold.
    """
    run = read_run(source)
    if not isinstance(run.model, Speech):
        raise UserError(
            f"{source}: transformers has no {run.model.family} that serjax trains; take --to stablehlo or --to onnx."
        )
    number = chosen_fold(run, source, fold)
    origin, family = fold_folder(source, number), FAMILIES[run.model.encoder.config.model_type]
    architecture = f"{family.architecture}{family.classifier}"
    if in_transformers(run.model):
        # Parts that folds share are links to one file; here they are files.
        for path in sorted(origin.iterdir()):
            shutil.copyfile(path, folder / path.name)
        files = {path.name: f"of {architecture}" for path in sorted(folder.iterdir())}
        return files, f"{architecture}.from_pretrained reads it: fold {number} of {source.resolve().name}."
    loaded = load_encoder(str(origin))
    heard = {HEARD: "frozen" if run.model.frozen_encoder else "trained"}
    save_pretrained(loaded.encoder, folder, preprocessor=loaded.preprocessor, extra_config=heard)
    files = {path.name: f"of {family.architecture}Model" for path in sorted(folder.iterdir())}
    write_tensors(folder / HEAD, {k: v for k, v in read_tensors(origin).items() if k.startswith("head.")})
    settings = {"pooling": run.model.pooling, "head": run.model.head, "weighted_layers": run.model.weighted_layers}
    write_text(folder / "head.json", json.dumps({"labels": run.labels, **settings}, indent=2) + "\n")
    files |= {HEAD: "parameters of the head, by serjax's names", "head.json": "its settings and labels"}
    beside = " (and makes a decoder without layers beside it)" if family.layout == "whisper" else ""
    kept = ", ".join(f"{name} {value}" for name, value in settings.items())
    return files, (
        f"{architecture} of transformers has no such head ({kept}), so the encoder and the head are apart: "
        f"{family.architecture}Model.from_pretrained reads the encoder{beside}, and {HEAD} holds the head; fold "
        f"{number} of {source.resolve().name}."
    )
