"""Classifiers that others have published as Hugging Face checkpoints, told apart by their heads' keys."""

import re
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from serjax.checkpoints.bundle import Models, Outputs
from serjax.checkpoints.conversion import load_tensors
from serjax.checkpoints.huggingface import Checkpoint, read_checkpoint
from serjax.models.encoders import config as encoder_config
from serjax.models.encoders.families import FAMILIES
from serjax.models.functional import abstract
from serjax.models.published import HeadLayout, Pooling, PublishedClassifier
from serjax.runtime.errors import UserError

_OUTPUTS: dict[str, Outputs] = {
    "single_label_classification": "softmax",
    "multi_label_classification": "sigmoid",
    "regression": "identity",
}
_POOLINGS: dict[str, Pooling] = {"mean": "mean", "sum": "sum", "max": "max"}


def load_published(source: str) -> Models:
    """Load a published classifier.

    Known are the heads of transformers' ForSequenceClassification classes, of soxan's Wav2Vec2- and
    HubertForSpeechClassification, of ehcalabres' checkpoints and of audEERING's dimensional model.

    Args:
        source: a directory, or a hub id such as `superb/hubert-base-superb-er`.

    Raises:
        UserError: it cannot be found, is damaged, is of another architecture, or its head is of no known layout or does
            not fit its config; a head is never made at random.
    """
    checkpoint = read_checkpoint(source)
    config = encoder_config.from_dict(checkpoint.config, f"{source}/config.json")
    prefix = FAMILIES[config.model_type].prefix
    head = {key: tensor for key, tensor in checkpoint.tensors.items() if not key.startswith(prefix)}
    layout = _layout(checkpoint, head)
    # One output cannot be one class of several; transformers takes it for a value too.
    default = "regression" if layout.classes == 1 else "single_label_classification"
    problem = checkpoint.config.get("problem_type") or default
    if not isinstance(problem, str) or problem not in _OUTPUTS:
        raise UserError(
            f"{source}/config.json: problem_type is {problem!r}; serjax knows {', '.join(_OUTPUTS)}; correct it."
        )
    normalize = checkpoint.preprocessor.normalize
    model = abstract(lambda rngs: PublishedClassifier(config, layout, normalize=normalize, rngs=rngs))
    missing = [re.escape(f"{prefix}masked_spec_embed")]
    state = load_tensors(model, checkpoint.tensors, source=source, encoder=prefix, allow_missing=missing)
    nnx.update(model, state)
    if "masked_spec_embed" not in state["speech_encoder"]:
        model.speech_encoder.masked_spec_embed.set_value(jnp.zeros(config.hidden_size))
    # The encoder is what all members of an ensemble share, though there is but one member here.
    graphdef, own, *rest = nnx.split(model, lambda path, _: path[0] != "speech_encoder", ...)
    return Models(
        labels=_labels(checkpoint, layout.classes),
        folds=(1,),
        graphdef=graphdef,
        params=jax.tree.map(lambda leaf: leaf[None], own),
        shared=rest[0],
        max_seconds=None,
        crop="head",
        min_samples=encoder_config.receptive_field(config),
        dtype="float32",
        outputs=_OUTPUTS[problem],
        notes=checkpoint.notes,
    )


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
    if {"projector.weight", "classifier.weight"} <= head.keys():
        weighted = bool(settings.get("use_weighted_layer_sum", False))
        return HeadLayout("projector", _rows(head["classifier.weight"]), _rows(head["projector.weight"]), weighted)
    if any(key.startswith("head.") for key in head):
        raise UserError(f"{source}: this is one fold of a run; give the run's folder, {Path(source).parent}.")
    alone = not head or len(head) == len(checkpoint.tensors)  # an encoder alone is stored without its prefix
    problem = "it is an encoder without a head" if alone else "its head is of no layout that serjax knows"
    raise UserError(
        f"{source}: {problem}.\nfound: {', '.join(sorted(head)) if not alone else 'no key of a head'}\n"
        "expected: projector.* and classifier.* (transformers), classifier.dense.* and classifier.out_proj.* (soxan, "
        "audEERING), or classifier.dense.* and classifier.output.* (ehcalabres); to train a head of your own, say "
        f"python -m serjax.train --exp hubert_kfold --model.family {settings['model_type']} "
        f"--model.checkpoint {source}."
    )


def _rows(tensor: np.ndarray) -> int:
    # A tensor of no axis fits no layer, which is said with all that does not fit.
    return tensor.shape[0] if tensor.ndim else 1


def _labels(checkpoint: Checkpoint, classes: int) -> tuple[str, ...]:
    """Return the names of the outputs in their order."""
    path, named = f"{checkpoint.source}/config.json", checkpoint.config.get("id2label")
    if named is None:
        return tuple(f"LABEL_{index}" for index in range(classes))  # what transformers calls them then
    try:
        labels = {int(index): str(name) for index, name in named.items()}
    except (AttributeError, ValueError):
        raise UserError(f"{path}: id2label is {named!r}; it must map numbers to names.") from None
    if sorted(labels) != list(range(classes)):
        raise UserError(
            f"{path}: id2label names the outputs {sorted(labels)}, but the head has {classes}; give weights and "
            "config.json of one model."
        )
    return tuple(labels[index] for index in range(classes))
