"""Heads that transformers has too: its ForSequenceClassification is Linear, mean over frames, Linear."""

from collections.abc import Mapping

import numpy as np

from serjax.models.speech import Speech

_LAYERS, _OUT, _DENSE = "head.layer_weights", "head.classifier.out_proj.", "head.classifier.dense."
_KINDS = ("weight", "bias")


def in_transformers(config: Speech) -> bool:
    """Return whether the family's ForSequenceClassification computes the same as this model.

    A weighted sum of the layers of a pre-LN encoder is none: the last layer is normalised here and in transformers 4,
    but not in transformers 5. Whisper's takes the mean over 30 s, whatever a clip lasts.
    """
    encoder = config.encoder.config
    linear = config.pooling == "mean" and config.head in ("linear", "projector") and not config.state_norm
    return linear and encoder.max_samples is None and not (config.weighted_layers and encoder.norm_first)


def to_transformers(config: Speech, head: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return a head's tensors under the names of ForSequenceClassification.

    The mean over frames and a Linear can change places, so that one Linear after the mean is that as `projector`, and
    the identity as `classifier`.

    Args:
        config: settings of a model that `in_transformers` accepts.
        head: tensors by serjax's keys, which begin with `head.`
    """
    tensors = {"layer_weights": head[_LAYERS]} if config.weighted_layers else {}
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
        found[_LAYERS] = found.pop("layer_weights")
    if config.head == "linear":
        # The identity, unless someone has trained on in transformers: two Linear layers in a row are one.
        weight, bias = classifier
        found |= {f"{_OUT}weight": weight @ projector[0], f"{_OUT}bias": weight @ projector[1] + bias}
        return found
    found |= dict(zip((_DENSE + kind for kind in _KINDS), projector, strict=True))
    return found | dict(zip((_OUT + kind for kind in _KINDS), classifier, strict=True))


def _zeros(count: int) -> np.ndarray:
    return np.zeros(count, np.float32)
