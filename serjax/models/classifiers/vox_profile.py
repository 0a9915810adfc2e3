"""The emotion models of Vox-Profile: a sum of layers or the last one, three pointwise convolutions, a mean, heads."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from serjax.evaluation.tasks import MIDDLE
from serjax.models.encoders.build import build_encoder
from serjax.models.encoders.config import EncoderConfig
from serjax.models.inputs import Inputs
from serjax.models.layers.pooling import masked_mean
from serjax.models.layers.standardize import unit_variance

DIMENSIONS = ("arousal", "valence", "dominance")
"""Heads of one value each, in the order in which the original returns them."""


@dataclass(frozen=True)
class VoxProfileLayout:
    """Layout of what stands above the encoder.

    Attributes:
        width: of the convolutions and of the heads.
        emotions: how many classes; 0 for a model of dimensions alone.
        dimensions: True where it has heads for `DIMENSIONS`.
        states: sum: frames are the softmax-weighted sum of all hidden states. layers: of those behind layers. last: the
            last one alone.
        normalize: bring each clip to zero mean and unit variance first.
        normalize_last: the last state of a pre-LN encoder is normalised before the sum, as in transformers 4.
    """

    width: int
    emotions: int
    dimensions: bool
    states: Literal["sum", "layers", "last"]
    normalize: bool
    normalize_last: bool = True


class Pointwise(nnx.Module):
    """A convolution of one tap."""

    def __init__(self, features: int, width: int, *, rngs: nnx.Rngs):
        self.weight = nnx.Param(jax.random.normal(rngs.params(), (width, features, 1)) / features**0.5)
        self.bias = nnx.Param(jnp.zeros(width))

    def __call__(self, x: Float[Array, "b n i"]) -> Float[Array, "b n o"]:
        """Return the same product of each frame."""
        return x @ self.weight[...][:, :, 0].T + self.bias[...]


class VoxProfileClassifier(nnx.Module):
    """An encoder and its heads, for evaluation; a clip's answer is that of the original for the clip alone."""

    def __init__(self, config: EncoderConfig, layout: VoxProfileLayout, *, rngs: nnx.Rngs):
        self.layout = layout
        self.speech_encoder = build_encoder(config, rngs=rngs)
        widths = [config.hidden_size, *[layout.width] * 3]
        # Numbered as in the original, where ReLU and dropout stand between.
        places = zip(("0", "3", "6"), pairwise(widths), strict=True)
        self.model_seq = nnx.Dict({place: Pointwise(*sizes, rngs=rngs) for place, sizes in places})
        layers = {"sum": config.num_hidden_layers + 1, "layers": config.num_hidden_layers, "last": 0}[layout.states]
        self.weights = nnx.Param(jnp.zeros(layers)) if layers else None
        heads = {"emotion_layer": layout.emotions} if layout.emotions else {}
        heads |= {f"{name}_layer": 1 for name in DIMENSIONS} if layout.dimensions else {}
        self.heads = tuple(heads)
        for name, outputs in heads.items():
            setattr(self, name, _head(layout.width, outputs, rngs))

    def pooled(self, inputs: Inputs) -> Float[Array, "b d"]:
        """Return the mean of the convolved frames of waves at 16 kHz, which the original calls the embedding."""
        layout, (wave, lengths) = self.layout, inputs.sound
        encoder = self.speech_encoder
        wave = unit_variance(wave, lengths) if layout.normalize else wave
        window = encoder.config.mel_bins is not None
        output = encoder(
            wave, lengths, padding="transformers" if window else "exact", normalize_last=layout.normalize_last
        )
        x = self._chosen(output.hidden_states)
        first, second, third = self.model_seq["0"], self.model_seq["3"], self.model_seq["6"]
        x = third(jax.nn.relu(second(jax.nn.relu(first(x)))))
        return masked_mean(x, _window_frames(lengths) if window else output.lengths)

    def _chosen(self, states: tuple[Float[Array, "b n d"], ...]) -> Float[Array, "b n d"]:
        """Return the learned sum of hidden states, or the last one."""
        if self.weights is None:
            return states[-1]
        states = states[len(states) - len(self.weights) :]
        shares = jax.nn.softmax(self.weights[...].astype(jnp.float32)).astype(states[0].dtype)
        return sum((share * one for share, one in zip(shares[1:], states[1:], strict=True)), shares[0] * states[0])

    def __call__(
        self, inputs: Inputs, key: PRNGKeyArray | None = None, weight: Float[Array, "b"] | None = None
    ) -> Float[Array, "b c"]:
        """Return the logits of emotions and the dimensions, from -1/2 to 1/2 about their middle.

        There is no dropout, and no row depends on another.
        """
        x = self.pooled(inputs)
        found = []
        for name in self.heads:
            head = getattr(self, name)
            y = head["2"](jax.nn.relu(head["0"](x)))
            found.append(y if name == "emotion_layer" else jax.nn.sigmoid(y.astype(jnp.float32)) - MIDDLE)
        return jnp.concatenate(found, axis=-1)


def _head(width: int, outputs: int, rngs: nnx.Rngs) -> nnx.Dict[nnx.Module]:
    return nnx.Dict({"0": nnx.Linear(width, width, rngs=rngs), "2": nnx.Linear(width, outputs, rngs=rngs)})


def _window_frames(lengths: Int[Array, "b"]) -> Int[Array, "b"]:
    """Return how many frames of Whisper's window the original takes the mean over: half of its hops, rounded up."""
    return (lengths // 160 + 1) // 2
