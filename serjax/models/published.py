"""Classifiers as they are published: an encoder with the head that its authors trained, named as they store it."""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from serjax.models.encoders.build import build_encoder
from serjax.models.encoders.config import EncoderConfig
from serjax.models.inputs import Inputs
from serjax.models.layers.masking import length_mask
from serjax.models.layers.pooling import masked_mean
from serjax.models.layers.standardize import unit_variance

Pooling = Literal["mean", "sum", "max"]
LayerSum = Literal["4", "5"]
"""Version of transformers whose sum of layers a head takes."""


@dataclass(frozen=True)
class HeadLayout:
    """Layout of a published head.

    Attributes:
        kind: projector is that of transformers' ForSequenceClassification: Linear, mean over frames, Linear. dense is
            that of soxan and of audEERING: pooling, Linear, tanh, Linear.
        classes: How many outputs.
        width: Of the layer before the last.
        weighted_layers: projector only: frames are a softmax-weighted sum of all hidden states.
        layer_sum: of pre-LN encoders the last state is normalised before that sum in transformers 4, and not in 5.
        pooling: dense only: over true frames.
        last: dense only: what the last layer is called; `output` in ehcalabres' checkpoints.
    """

    kind: Literal["projector", "dense"]
    classes: int
    width: int
    weighted_layers: bool = False
    layer_sum: LayerSum = "4"
    pooling: Pooling = "mean"
    last: Literal["out_proj", "output"] = "out_proj"


class DenseHead(nnx.Module):
    """Linear, tanh, Linear."""

    def __init__(self, features: int, layout: HeadLayout, *, rngs: nnx.Rngs):
        self.dense = nnx.Linear(features, layout.width, rngs=rngs)
        self.last = layout.last
        setattr(self, layout.last, nnx.Linear(layout.width, layout.classes, rngs=rngs))

    def __call__(self, x: Float[Array, "b d"]) -> Float[Array, "b c"]:
        """Return the logits."""
        return getattr(self, self.last)(jnp.tanh(self.dense(x)))


class PublishedClassifier(nnx.Module):
    """An encoder and a head of one of the layouts, for evaluation."""

    def __init__(self, config: EncoderConfig, layout: HeadLayout, *, normalize: bool, rngs: nnx.Rngs):
        self.layout = layout
        self.normalize = normalize
        self.speech_encoder = build_encoder(config, rngs=rngs)
        if layout.kind == "dense":
            self.classifier: nnx.Module = DenseHead(config.hidden_size, layout, rngs=rngs)
            return
        self.projector = nnx.Linear(config.hidden_size, layout.width, rngs=rngs)
        self.classifier = nnx.Linear(layout.width, layout.classes, rngs=rngs)
        layers = config.num_hidden_layers + 1
        self.layer_weights = nnx.Param(jnp.full(layers, 1 / layers)) if layout.weighted_layers else None

    def __call__(
        self, inputs: Inputs, key: PRNGKeyArray | None = None, weight: Float[Array, "b"] | None = None
    ) -> Float[Array, "b c"]:
        """Return the logits of waves at 16 kHz. The head has no dropout, and no row depends on another."""
        wave, lengths = inputs.sound
        config, weighted = self.speech_encoder.config, self.layout.weighted_layers
        wave = unit_variance(wave, lengths, config.wave_epsilon) if self.normalize else wave
        # SEW's sum is of what its layers see: squeezed frames.
        normalize_last = not (weighted and (self.layout.layer_sum == "5" or config.squeezed > 1))
        # WhisperForAudioClassification takes the mean over 30 s, whatever a clip lasts.
        window = self.speech_encoder.config.max_samples is not None
        padding: Literal["exact", "transformers"] = "transformers" if window else "exact"
        output = self.speech_encoder(wave, lengths, key, padding=padding, normalize_last=normalize_last)
        x = output.hidden_states[-1]
        if window:
            output = output._replace(lengths=jnp.full_like(lengths, x.shape[1]))
        if self.layout.kind == "dense":
            return self.classifier(_pool(x, output.lengths, self.layout.pooling))
        if self.layer_weights is not None:
            shares = jax.nn.softmax(self.layer_weights[...].astype(jnp.float32)).astype(x.dtype)
            states = [state[:, :: config.squeezed] for state in output.hidden_states]
            output = output._replace(lengths=output.lengths // config.squeezed)
            x = sum(share * state for share, state in zip(shares, states, strict=True))
        return self.classifier(masked_mean(self.projector(x), output.lengths))


def _pool(x: Float[Array, "b n d"], frames: Int[Array, "b"], how: Pooling) -> Float[Array, "b d"]:
    if how == "mean":
        return masked_mean(x, frames)
    if how == "sum":
        total = masked_mean(x, frames).astype(jnp.float32) * frames[:, None]
        return total.astype(x.dtype)
    within = length_mask(frames, x.shape[1])[:, :, None]
    return jnp.max(jnp.where(within, x, jnp.finfo(x.dtype).min), axis=1)
