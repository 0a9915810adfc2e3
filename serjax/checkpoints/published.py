"""Classifiers that others have published as Hugging Face checkpoints, told apart by their heads' keys."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np

from serjax.checkpoints.bundle import Models
from serjax.checkpoints.checkpoint import Checkpoint
from serjax.checkpoints.conversion import matches
from serjax.checkpoints.funasr import TOKENS
from serjax.checkpoints.huggingface import read_checkpoint
from serjax.checkpoints.single_model import labels_of, problem_type, refuse_layer_sum, single_model
from serjax.models.encoders.config import EncoderConfig
from serjax.models.encoders.families import FAMILIES
from serjax.models.functional import abstract
from serjax.models.published import HeadLayout, LayerSum, Pooling, PublishedClassifier
from serjax.runtime.errors import UserError, brief

_UNUSED = tuple(
    rf"{name}(\..*)?" for name in ("lm_head", "quantizer", "project_hid", "project_q", "decoder", "proj_out")
)
"""Keys that pretraining and speech recognition leave behind in the checkpoint of a classifier."""
HEAD_SETTINGS = "head.json"
"""File of a head's settings, where an export has it apart from its encoder."""
_POOLINGS: dict[str, Pooling] = {"mean": "mean", "sum": "sum", "max": "max"}


def load_published(source: str, layer_sum: LayerSum | None = None) -> Models:
    """Load a published classifier.

    Known are the heads of transformers' ForSequenceClassification and ForAudioClassification classes, of soxan's
    Wav2Vec2- and HubertForSpeechClassification, of ehcalabres' checkpoints and of audEERING's dimensional model, and
    the releases of `serjax/checkpoints/releases/`.

    Args:
        source: a directory, or a hub id such as `superb/hubert-base-superb-er`.
        layer_sum: version of transformers whose weighted sum of layers is taken; by default the one that wrote
            config.json (`transformers_version`).

    Raises:
        UserError: it cannot be found, is damaged, is of another architecture, or its head is of no known layout or does
            not fit its config; a head is never made at random.
    """
    checkpoint = read_checkpoint(source)
    if checkpoint.release is not None:
        reader = import_module(f"serjax.checkpoints.releases.{checkpoint.release.name}")
        answering: Models = reader.answer(checkpoint, layer_sum)
        return answering
    config, family = checkpoint.encoder, FAMILIES[checkpoint.encoder.model_type]
    head = {key: tensor for key, tensor in checkpoint.tensors.items() if not key.startswith(family.own)}
    layout, notes = _with_layer_sum(checkpoint, _layout(checkpoint, head), config, layer_sum)
    if config.model_type == "emotion2vec" and checkpoint.config.get("tokens") == []:
        raise UserError(
            f"{source}/{TOKENS}: there is no such file, or it is empty, and its {layout.classes} classes have their "
            "names there; fetch it too."
        )
    unused = [key for key in head if matches(key, _UNUSED)]
    if unused:
        names = ", ".join(sorted({key.split(".")[0] for key in unused}))
        notes = (*notes, f"{source} also holds {names}, which its classifier does not use.")
    # One output cannot be one class of several; transformers takes it for a value too.
    default = "regression" if layout.classes == 1 else "single_label_classification"
    outputs = problem_type(checkpoint, default)
    normalize = checkpoint.preprocessor.normalize
    model = abstract(lambda rngs: PublishedClassifier(config, layout, normalize=normalize, rngs=rngs))
    labels = labels_of(checkpoint, layout.classes)
    return single_model(checkpoint, model, labels, outputs, unused=unused, notes=notes)


def _layout(checkpoint: Checkpoint, head: Mapping[str, np.ndarray]) -> HeadLayout:
    """Return the layout that the keys and the configuration tell."""
    settings, source = checkpoint.config, checkpoint.source
    for last in ("out_proj", "output"):
        if {"classifier.dense.weight", f"classifier.{last}.weight"} <= head.keys():
            pooling = settings.get("pooling_mode") or "mean"
            if not isinstance(pooling, str) or pooling not in _POOLINGS:
                raise UserError(f"{source}/config.json: pooling_mode is {pooling!r}; it must be mean, sum or max.")
            width, classes = _rows(head["classifier.dense.weight"]), _rows(head[f"classifier.{last}.weight"])
            return HeadLayout("dense", classes, width, pooling=_POOLINGS[pooling], last=last)
    if any(key.startswith("tdnn.") for key in head):
        raise UserError(
            f"{source}: its head tells speakers apart (ForXVector), which serjax does not compute; give a classifier, "
            "or take the encoder alone with serjax.load_encoder."
        )
    if {"projector.weight", "classifier.weight"} <= head.keys():
        weighted = bool(settings.get("use_weighted_layer_sum", False))
        return HeadLayout("projector", _rows(head["classifier.weight"]), _rows(head["projector.weight"]), weighted)
    if any(key.startswith("head.") for key in head):
        raise UserError(f"{source}: this is one fold of a run; give the run's folder, {Path(source).parent}.")
    head = {key: tensor for key, tensor in head.items() if not matches(key, _UNUSED)}
    alone = not head or len(head) == len(checkpoint.tensors)  # an encoder alone is stored without its prefix
    train = (
        f"to train a head of your own, say python -m serjax.train --exp hubert_kfold --model.family "
        f"{checkpoint.encoder.model_type} --model.checkpoint {shlex.quote(source)} --data.root DIR."
    )
    if alone and (Path(source) / HEAD_SETTINGS).is_file():
        raise UserError(
            f"{source}: its head stands apart ({HEAD_SETTINGS}), as transformers has none like it; give the run that "
            "it was exported from, or take the encoder with serjax.load_encoder."
        )
    if alone:
        raise UserError(f"{source}: it is an encoder without a head, so it has no classes to answer with; {train}")
    raise UserError(
        f"{source}: its head is of no layout that serjax knows.\nfound: {', '.join(sorted(head))}\n"
        "expected: projector.* and classifier.* (transformers), classifier.dense.* and classifier.out_proj.* (soxan, "
        f"audEERING), or classifier.dense.* and classifier.output.* (ehcalabres); {train}"
    )


def _rows(tensor: np.ndarray) -> int:
    # A tensor of no axis fits no layer, which is said with all that does not fit.
    return tensor.shape[0] if tensor.ndim else 1


def _with_layer_sum(
    checkpoint: Checkpoint, layout: HeadLayout, config: EncoderConfig, asked: LayerSum | None
) -> tuple[HeadLayout, tuple[str, ...]]:
    """Return the layout with the sum of layers of one version of transformers, and a sentence on which.

    Raises:
        UserError: a version is asked for where both compute the same.
    """
    source = checkpoint.source
    if not (layout.weighted_layers and config.sums_by_version):
        refuse_layer_sum(checkpoint, asked)
        return layout, ()
    written = checkpoint.config.get("transformers_version")
    version = re.match(r"v?0*(\d{1,4})(?:\.|$)", written) if isinstance(written, str) else None
    by_file: LayerSum = "5" if version and int(version[1]) >= 5 else "4"
    reason = "its config.json names no version"
    if version:
        reason = f"version {brief(written)} wrote its config.json"
    elif written not in (None, ""):
        reason = f"its transformers_version, {brief(written)}, is no version"
    chosen = asked or by_file
    note = (
        f"{source}: layers are summed as in transformers {chosen}, as {'asked for' if asked else reason} (--layer-sum)."
    )
    return replace(layout, layer_sum=chosen), (note,)
