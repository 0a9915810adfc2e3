"""Embeddings: the pooled vector of a clip from which any model's classifier makes logits."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from serjax.models.classifiers.odyssey import OdysseyClassifier
from serjax.models.classifiers.spectrogram import SpectrogramClassifier
from serjax.models.classifiers.speech import SpeechClassifier
from serjax.models.classifiers.speechbrain import SpeechBrainClassifier
from serjax.models.classifiers.video import VideoClassifier
from serjax.models.classifiers.vox_profile import VoxProfileClassifier
from serjax.models.fusion.model import FusionModel
from serjax.models.inputs import Inputs
from serjax.models.layers.pooling import masked_mean
from serjax.models.published import PublishedClassifier


class _Identity(nnx.Module):
    """In place of a classifier: its input."""

    def __call__(self, x: Float[Array, "b d"], *_: Any) -> Float[Array, "b d"]:
        return x


def embed(model: nnx.Module, inputs: Inputs) -> Float[Array, "b d"]:
    """Return what the model's classifier takes, in evaluation.

    It is the pooled output of a speech encoder; of EfficientNet and the ResNet18s the mean of the last map; of networks
    with further layers below the last one (`audio_cnn`, `audio_resnet18`, `bilstm`) the input of the last layer; of a
    fusion the joined vector, or, where it averages two classifiers (`late`), their inputs side by side.

    Args:
        model: any classifier of serjax; its classifier is taken out, so give one of your own.
        inputs: a batch.
    """
    if isinstance(model, FusionModel) and model.fusion is None:
        sound = model.audio.vector(*inputs.sound, None, None, frozen=False)
        seen = masked_mean(*model.video.sequence(*inputs.frames))
        return jnp.concatenate([sound, seen], axis=-1)
    if isinstance(model, (OdysseyClassifier, SpeechBrainClassifier, VoxProfileClassifier)):
        return model.pooled(inputs)
    owner, name = _classifier(model)
    setattr(owner, name, _Identity())
    embedded: Float[Array, "b d"] = model(inputs)
    return embedded


def _classifier(model: nnx.Module) -> tuple[Any, str]:
    """Return the module that holds a model's classifier, and the name of it there."""
    match model:
        case SpeechClassifier():
            return model.head, "classifier"
        case SpectrogramClassifier():
            return (model.network, "fc2") if model.head is None else (model, "head")
        case VideoClassifier():
            return model.video, "fc"
        case PublishedClassifier():
            return model, "classifier"
        case FusionModel():
            return model.fusion, "classifier" if getattr(model.fusion, "head", None) is None else "head"
    raise TypeError(f"{type(model).__name__} is no classifier of serjax")
