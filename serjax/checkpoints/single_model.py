"""Models of one member, from a published checkpoint and a network that fits it."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx

from serjax.audio import SAMPLE_RATE
from serjax.checkpoints.bundle import Models, Outputs
from serjax.checkpoints.checkpoint import Checkpoint
from serjax.checkpoints.conversion import load_tensors
from serjax.models.published import LayerSum
from serjax.runtime.errors import UserError, brief, one_of, printable

Network = TypeVar("Network", bound=nnx.Module)
OUTPUTS: dict[str, Outputs] = {
    "single_label_classification": "softmax",
    "multi_label_classification": "sigmoid",
    "regression": "identity",
}
"""By problem_type of config.json."""


def single_model(
    checkpoint: Checkpoint,
    model: Any,
    labels: tuple[str, ...],
    outputs: Outputs,
    *,
    unused: Sequence[str] = (),
    notes: tuple[str, ...] = (),
) -> Models:
    """Return the models of a checkpoint.

    Args:
        checkpoint: whose weights are taken.
        model: abstract; its encoder is called `speech_encoder`, and other attributes as in the checkpoint. It is
            given the weights.
        labels: names of the outputs.
        outputs: from logits to scores.
        unused: keys of the checkpoint that nothing is made of.
        notes: sentences for the user, after the checkpoint's own.

    Raises:
        UserError: the weights do not fit.
    """
    config = checkpoint.encoder
    state = load_tensors(
        model,
        checkpoint.tensors,
        source=checkpoint.source,
        encoder=checkpoint.prefix,
        allow_missing=[re.escape(f"{checkpoint.prefix}masked_spec_embed")],
        allow_extra=[re.escape(key) for key in unused],
    )
    nnx.update(model, state)
    if hasattr(model.speech_encoder, "masked_spec_embed") and "masked_spec_embed" not in state["speech_encoder"]:
        model.speech_encoder.masked_spec_embed.set_value(jnp.zeros(config.hidden_size))
    # The encoder is what all members of an ensemble share, though there is but one member here.
    graphdef, own, *rest = nnx.split(model, lambda path, _: path[0] != "speech_encoder", ...)
    return Models(
        labels=labels,
        folds=(1,),
        graphdef=graphdef,
        params=jax.tree.map(lambda leaf: leaf[None], own),
        shared=rest[0],
        max_seconds=None if config.max_samples is None else config.max_samples / SAMPLE_RATE,
        crop="head",
        min_samples=config.min_samples,
        dtype="float32",
        outputs=outputs,
        notes=(*checkpoint.notes, *notes),
    )


def refuse_layer_sum(checkpoint: Checkpoint, asked: LayerSum | None) -> None:
    """Refuse a version of transformers whose sum of layers is asked for where there is none.

    Raises:
        UserError: one is asked for.
    """
    if asked is not None:
        raise UserError(
            f"--layer-sum {asked}: {checkpoint.source} has no weighted sum of layers to which it matters; leave it out."
        )


def problem_type(checkpoint: Checkpoint, default: str) -> Outputs:
    """Return how scores are made of logits, by problem_type of config.json.

    Raises:
        UserError: it is none that is known.
    """
    problem = checkpoint.config.get("problem_type") or default
    if not isinstance(problem, str) or problem not in OUTPUTS:
        raise UserError(
            f"{checkpoint.source}/config.json: problem_type is {problem!r}; serjax knows {', '.join(OUTPUTS)}; "
            "correct it."
        )
    return OUTPUTS[problem]


def labels_of(checkpoint: Checkpoint, classes: int) -> tuple[str, ...]:
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
