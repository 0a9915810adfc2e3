"""Classifiers that others have published as Hugging Face checkpoints, told apart by their heads' keys."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from serjax.audio import SAMPLE_RATE
from serjax.checkpoints.bundle import Models, Outputs
from serjax.checkpoints.conversion import load_tensors, matches
from serjax.checkpoints.huggingface import Checkpoint, read_checkpoint
from serjax.models.encoders.config import EncoderConfig
from serjax.models.encoders.families import FAMILIES
from serjax.models.functional import abstract
from serjax.models.published import HeadLayout, LayerSum, Pooling, PublishedClassifier
from serjax.runtime.errors import UserError, brief, one_of, printable

_OUTPUTS: dict[str, Outputs] = {
    "single_label_classification": "softmax",
    "multi_label_classification": "sigmoid",
    "regression": "identity",
}
_UNUSED = tuple(
    rf"{name}(\..*)?" for name in ("lm_head", "quantizer", "project_hid", "project_q", "decoder", "proj_out")
)
"""Keys that pretraining and speech recognition leave behind in the checkpoint of a classifier."""
_POOLINGS: dict[str, Pooling] = {"mean": "mean", "sum": "sum", "max": "max"}


def load_published(source: str, layer_sum: LayerSum | None = None) -> Models:
    """Load a published classifier.

    Known are the heads of transformers' ForSequenceClassification and ForAudioClassification classes, of soxan's
    Wav2Vec2- and HubertForSpeechClassification, of ehcalabres' checkpoints and of audEERING's dimensional model.

    Args:
        source: a directory, or a hub id such as `superb/hubert-base-superb-er`.
        layer_sum: version of transformers whose weighted sum of layers is taken; by default the one that wrote
            config.json (`transformers_version`).

    Raises:
        UserError: it cannot be found, is damaged, is of another architecture, or its head is of no known layout or does
            not fit its config; a head is never made at random.
    """
    checkpoint = read_checkpoint(source)
    config, family = checkpoint.encoder, FAMILIES[checkpoint.encoder.model_type]
    head = {key: tensor for key, tensor in checkpoint.tensors.items() if not key.startswith(family.own)}
    layout, notes = _with_layer_sum(checkpoint, _layout(checkpoint, head), config, layer_sum)
    unused = [key for key in head if matches(key, _UNUSED)]
    if unused:
        names = ", ".join(sorted({key.split(".")[0] for key in unused}))
        notes = (*notes, f"{source} also holds {names}, which its classifier does not use.")
    # One output cannot be one class of several; transformers takes it for a value too.
    default = "regression" if layout.classes == 1 else "single_label_classification"
    problem = checkpoint.config.get("problem_type") or default
    if not isinstance(problem, str) or problem not in _OUTPUTS:
        raise UserError(
            f"{source}/config.json: problem_type is {problem!r}; serjax knows {', '.join(_OUTPUTS)}; correct it."
        )
    normalize = checkpoint.preprocessor.normalize
    model = abstract(lambda rngs: PublishedClassifier(config, layout, normalize=normalize, rngs=rngs))
    missing = [re.escape(f"{family.prefix}masked_spec_embed")]
    state = load_tensors(
        model,
        checkpoint.tensors,
        source=source,
        encoder=family.prefix,
        allow_missing=missing,
        allow_extra=[re.escape(key) for key in unused],
    )
    nnx.update(model, state)
    if hasattr(model.speech_encoder, "masked_spec_embed") and "masked_spec_embed" not in state["speech_encoder"]:
        model.speech_encoder.masked_spec_embed.set_value(jnp.zeros(config.hidden_size))
    # The encoder is what all members of an ensemble share, though there is but one member here.
    graphdef, own, *rest = nnx.split(model, lambda path, _: path[0] != "speech_encoder", ...)
    return Models(
        labels=_labels(checkpoint, layout.classes),
        folds=(1,),
        graphdef=graphdef,
        params=jax.tree.map(lambda leaf: leaf[None], own),
        shared=rest[0],
        max_seconds=None if config.max_samples is None else config.max_samples / SAMPLE_RATE,
        crop="head",
        min_samples=config.min_samples,
        dtype="float32",
        outputs=_OUTPUTS[problem],
        notes=(*checkpoint.notes, *notes),
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


def _with_layer_sum(
    checkpoint: Checkpoint, layout: HeadLayout, config: EncoderConfig, asked: LayerSum | None
) -> tuple[HeadLayout, tuple[str, ...]]:
    """Return the layout with the sum of layers of one version of transformers, and a sentence on which.

    Raises:
        UserError: a version is asked for where both compute the same.
    """
    source = checkpoint.source
    if not (layout.weighted_layers and config.sums_by_version):
        if asked is not None:
            raise UserError(
                f"--layer-sum {asked}: {source} has no weighted sum of layers to which it matters; leave it out."
            )
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


def _labels(checkpoint: Checkpoint, classes: int) -> tuple[str, ...]:
    """Return the names of the outputs in their order, from id2label or label2id, which must agree.

    Raises:
        UserError: they do not, name other outputs than there are, or name two alike.
    """
    path, settings = f"{checkpoint.source}/config.json", checkpoint.config
    default = {index: f"LABEL_{index}" for index in range(classes)}  # what transformers calls them without names
    found: dict[str, dict[int, str]] = {}
    for key, kind in (("id2label", "numbers to names"), ("label2id", "names to numbers")):
        named = settings.get(key)
        if named is None:
            continue
        try:
            pairs = list(named.items()) if key == "id2label" else [(number, name) for name, number in named.items()]
            numbers = [_whole(number) for number, _ in pairs]
            labels = {number: _name(name) for number, (_, name) in zip(numbers, pairs, strict=True)}
        except (AttributeError, TypeError, ValueError) as error:
            said = f"; {error}" if isinstance(error, ValueError) else ""
            raise UserError(f"{path}: {key} must map {kind}{said}; correct it.") from None
        if sorted(numbers) != list(range(classes)):
            given = one_of([str(number) for number in sorted(numbers)])
            raise UserError(
                f"{path}: {key} names the outputs [{given}], but the head has {classes}; give weights and config.json "
                "of one model."
            )
        if labels != default:
            found[key] = labels
    if len(found) == 2 and found["id2label"] != found["label2id"]:
        raise UserError(
            f"{path}: id2label has {', '.join(found['id2label'][index] for index in range(classes))}, but label2id "
            f"{', '.join(found['label2id'][index] for index in range(classes))}; correct the wrong one."
        )
    labels = next(iter(found.values()), default)
    names = tuple(labels[index] for index in range(classes))
    alike = [unicodedata.normalize("NFC", " ".join(name.split()).casefold()) for name in names]
    twice = sorted({name for name, own in zip(names, alike, strict=True) if alike.count(own) > 1})
    if twice:
        raise UserError(f"{path}: id2label calls several outputs {one_of(twice)}; give each a name of its own.")
    return names


def _whole(number: Any) -> int:
    """Return the number of an output."""
    if isinstance(number, str) and number.isascii() and number.isdigit():
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, int):
        raise ValueError(f"{brief(number)} is the number of no output")
    return number


def _name(name: Any) -> str:
    """Return the name of an output, which is printed."""
    if not isinstance(name, str) or not name.strip() or printable(name) != name or set("\n\t") & set(name):
        raise ValueError(f"{brief(name) or 'an empty text'} is no name")
    return name
