"""Directories of a speech encoder with its head.

Some heads transformers has too: its ForSequenceClassification is Linear, mean over frames, Linear.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from serjax.checkpoints.huggingface import ADAPTER, save_pretrained
from serjax.checkpoints.preprocessor import Preprocessor
from serjax.models.encoders.config import OWN
from serjax.models.encoders.families import FAMILIES
from serjax.models.encoders.stack import BaseEncoder
from serjax.models.speech import Speech
from serjax.runtime.constraints import to_json

LAYERS = "head.layer_weights"
"""serjax's key of the learned numbers of the layers."""
_OUT, _DENSE = "head.classifier.out_proj.", "head.classifier.dense."
_KINDS = ("weight", "bias")


def in_transformers(config: Speech) -> bool:
    """Return whether the family's ForSequenceClassification computes the same as this model.

    A weighted sum of the layers of a pre-LN encoder is none: the last layer is normalised here and in transformers 4,
    but not in transformers 5; nor is one of SEW, which sums squeezed frames there. Whisper's takes the mean over 30 s,
    whatever a clip lasts.
    """
    encoder = config.encoder.config
    linear = config.pooling == "mean" and config.head in ("linear", "projector") and not config.state_norm
    linear = linear and config.layer is None  # theirs takes the last one
    unlike = encoder.norm_first or encoder.squeezed > 1
    return linear and encoder.max_samples is None and not (config.weighted_layers and unlike)


def to_transformers(config: Speech, head: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return a head's tensors under the names of ForSequenceClassification.

    The mean over frames and a Linear can change places, so that one Linear after the mean is that as `projector`, and
    the identity as `classifier`.

    Args:
        config: settings of a model that `in_transformers` accepts.
        head: tensors by serjax's keys, which begin with `head.`
    """
    tensors = {"layer_weights": head[LAYERS]} if config.weighted_layers else {}
    if config.head == "linear":
        classes = len(head[f"{_OUT}bias"])
        tensors |= {f"projector.{kind}": head[_OUT + kind] for kind in _KINDS}
        return tensors | {"classifier.weight": np.eye(classes, dtype=np.float32), "classifier.bias": _zeros(classes)}
    tensors |= {f"projector.{kind}": head[_DENSE + kind] for kind in _KINDS}
    return tensors | {f"classifier.{kind}": head[_OUT + kind] for kind in _KINDS}


def from_transformers(config: Speech, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return tensors with the head's under serjax's keys; those of another head stay as they are."""
    if not {f"{name}.{kind}" for name in ("projector", "classifier") for kind in _KINDS} <= tensors.keys():
        return dict(tensors)
    found = dict(tensors)
    projector = [found.pop(f"projector.{kind}") for kind in _KINDS]
    classifier = [found.pop(f"classifier.{kind}") for kind in _KINDS]
    if "layer_weights" in found:
        found[LAYERS] = found.pop("layer_weights")
    if config.head == "linear":
        # The identity, unless someone has trained on in transformers: two Linear layers in a row are one.
        weight, bias = classifier
        found |= {f"{_OUT}weight": weight @ projector[0], f"{_OUT}bias": weight @ projector[1] + bias}
        return found
    found |= dict(zip((_DENSE + kind for kind in _KINDS), projector, strict=True))
    return found | dict(zip((_OUT + kind for kind in _KINDS), classifier, strict=True))


def _zeros(count: int) -> np.ndarray:
    return np.zeros(count, np.float32)


def save_classifier(
    folder: Path,
    config: Speech,
    encoder: BaseEncoder,
    head: dict[str, np.ndarray],
    names: Mapping[str, Any],
    *,
    in_form: bool = True,
    shared: Path | None = None,
) -> None:
    """Write a speech encoder with its head as a Hugging Face directory.

    Args:
        folder: is made.
        config: settings.
        encoder: with its adapters, where it has any.
        head: tensors by serjax's keys.
        names: entries of config.json on the labels.
        in_form: write the family's ForSequenceClassification where transformers has such a head.
        shared: see `save_pretrained`.

    Raises:
        UserError: the files cannot be written.
    """
    family = FAMILIES[config.encoder.config.model_type]
    entries: dict[str, Any] = {
        "architectures": ["SpeechClassifier"],
        "model_type": OWN + config.encoder.config.model_type,
    }
    if config.adapter.given:
        entries[ADAPTER] = json.loads(to_json(config.adapter))
    elif in_form and in_transformers(config):
        head = to_transformers(config, head)
        entries = {
            "architectures": [f"{family.architecture}{family.classifier}"],
            "classifier_proj_size": len(head["projector.bias"]),
            "use_weighted_layer_sum": config.weighted_layers,
        }
    save_pretrained(
        encoder,
        folder,
        preprocessor=preprocessor_of(config),
        prefix=family.prefix,
        extra_tensors=head,
        extra_config=entries | dict(names),
        shared=shared,
    )


def label_names(labels: Sequence[str]) -> dict[str, Any]:
    """Return the entries of a config.json on the labels."""
    return {"id2label": dict(enumerate(labels)), "label2id": {label: number for number, label in enumerate(labels)}}


def preprocessor_of(speech: Speech) -> Preprocessor:
    """Return how the input of a speech encoder is prepared."""
    return Preprocessor(speech.encoder.normalize, return_attention_mask=speech.encoder.attention_mask)
