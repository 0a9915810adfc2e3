"""Hugging Face directories of one fold of a run: its ForSequenceClassification, or the encoder and the head apart."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

from serjax.checkpoints.formats.tensors import read_tensors, write_tensors
from serjax.checkpoints.huggingface import load_encoder, save_pretrained
from serjax.checkpoints.peft import write_peft
from serjax.checkpoints.published import HEAD_SETTINGS
from serjax.checkpoints.run_models import HEARD, OLD_ENCODER, RunModels, fold_folder, load_fold, read_run
from serjax.checkpoints.sequence_classification import in_transformers, label_names, save_classifier
from serjax.models.adapter_config import AdapterConfig
from serjax.models.adapters import adapted_layers
from serjax.models.encoders.families import FAMILIES
from serjax.models.speech import Speech
from serjax.runtime.disk import write_text
from serjax.runtime.errors import UserError, one_of

HEAD = "head.safetensors"
ADAPTER = "adapter"
"""Folder of the adapters, as PEFT reads them."""


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


def write_transformers(
    source: Path, folder: Path, fold: int | None, *, adapter: bool = False
) -> tuple[dict[str, str], str]:
    """Write a fold of a run for transformers; return what each file is, and a sentence on what it holds.

    Adapters are merged into the encoder's weights.

    Args:
        source: the run.
        folder: where to.
        fold: which fold.
        adapter: write the fold's adapters, too, as PEFT reads them.

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
    alone = f"transformers has no {run.model.encoder.config.model_type}, so the directory is for serjax: "
    reader = f"{architecture}.from_pretrained reads" if family.in_transformers else f"{alone}serjax.load reads"
    if adapter:
        files, sentence = write_transformers(source, folder, fold)
        return files | _write_adapter(source, folder, run, number), sentence
    if run.model.adapter.given and in_transformers(run.model):
        head = {key: value for key, value in read_tensors(origin).items() if key.startswith("head.")}
        plain = replace(run.model, adapter=AdapterConfig())
        save_classifier(folder, plain, load_encoder(str(origin)).encoder, head, label_names(run.labels))
        files = {path.name: f"of {architecture}" for path in sorted(folder.iterdir())}
        return files, f"{reader} it, with the adapters merged: fold {number} of {source.resolve().name}."
    if in_transformers(run.model):
        # Parts that folds share are links to one file; here they are files.
        for path in sorted(origin.iterdir()):
            shutil.copyfile(path, folder / path.name)
        files = {path.name: f"of {architecture}" for path in sorted(folder.iterdir())}
        return files, f"{reader} it: fold {number} of {source.resolve().name}."
    loaded = load_encoder(str(origin))
    heard = {HEARD: "frozen" if run.model.frozen_encoder else "trained"}
    save_pretrained(loaded.encoder, folder, preprocessor=loaded.preprocessor, extra_config=heard)
    files = {path.name: f"of {family.architecture}Model" for path in sorted(folder.iterdir())}
    write_tensors(folder / HEAD, {k: v for k, v in read_tensors(origin).items() if k.startswith("head.")})
    names = ("pooling", "head", "weighted_layers", *(() if run.model.layer is None else ("layer",)))
    settings = {name: getattr(run.model, name) for name in names}
    write_text(folder / HEAD_SETTINGS, json.dumps({"labels": run.labels, **settings}, indent=2) + "\n")
    files |= {HEAD: "parameters of the head, by serjax's names", HEAD_SETTINGS: "its settings and labels"}
    beside = " (and makes a decoder without layers beside it)" if family.layout == "whisper" else ""
    kept = ", ".join(f"{name} {value}" for name, value in settings.items())
    if not family.in_transformers:
        return files, (
            f"{alone}serjax.load_encoder reads the encoder, and {HEAD} holds the head ({kept}); fold {number} of "
            f"{source.resolve().name}."
        )
    return files, (
        f"{architecture} of transformers has no such head ({kept}), so the encoder and the head are apart: "
        f"{family.architecture}Model.from_pretrained reads the encoder{beside}, and {HEAD} holds the head; fold "
        f"{number} of {source.resolve().name}."
    )


def _write_adapter(source: Path, folder: Path, run: RunModels, fold: int) -> dict[str, str]:
    """Write a fold's adapters as PEFT reads them; return what the folder is.

    Raises:
        UserError: there are none, they are of a kind that PEFT does not have, or it would not be told their base model.
    """
    assert isinstance(run.model, Speech)
    settings, family = run.model.adapter, FAMILIES[run.model.encoder.config.model_type]
    if not settings.given:
        raise UserError(f"--adapter: {source} has no adapters (model.adapter); leave it out.")
    if run.model.checkpoint is None or run.model.size is not None:
        raise UserError(
            f"--adapter: the encoder of {source} started from random weights, and PEFT's adapters name a base model; "
            "leave it out, and take the merged weights."
        )
    member = load_fold(fold_folder(source, fold), source / OLD_ENCODER, run)
    encoder = getattr(member, "speech_encoder")  # noqa: B009
    write_peft(folder / ADAPTER, encoder, settings, run.model.checkpoint)
    about = f"of PEFT, for {family.architecture}Model"
    if run.model.encoder.config.model_type == "wavlm" and any(
        ".attention." in name for name in adapted_layers(encoder)
    ):
        about += " (whose attention in transformers takes weights past PEFT: there they have no effect)"
    return {ADAPTER: about}
