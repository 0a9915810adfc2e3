"""The baseline of the MSP-Podcast challenge of Odyssey 2024: attentive statistics of frames, and layers above them."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from serjax.models.encoders.build import build_encoder
from serjax.models.encoders.config import EncoderConfig
from serjax.models.inputs import Inputs
from serjax.models.layers.layer_norm import LayerNorm
from serjax.models.layers.masking import length_mask


@dataclass(frozen=True)
class OdysseyLayout:
    """Layout of the head.

    Attributes:
        outputs: how many.
        layers: below the last one, each of Linear, LayerNorm and ReLU, as wide as the encoder.
        mean: of the samples that it was trained on; it is subtracted from each sample.
        deviation: of the samples that it was trained on; each sample is divided by it.
    """

    outputs: int
    layers: int
    mean: float
    deviation: float


class Statistics(nnx.Module):
    """Weighted mean and deviation of frames, side by side: shares are softmax over time of tanh(Linear(x)) . a."""

    def __init__(self, features: int, *, rngs: nnx.Rngs):
        self.sap_linear = nnx.Linear(features, features, rngs=rngs)
        self.attention = nnx.Param(jax.random.normal(rngs.params(), (features, 1)))

    def __call__(self, x: Float[Array, "b n d"], frames: Int[Array, "b"]) -> Float[Array, "b 2*d"]:
        """Return mean and deviation over true frames; the variance is at least 1e-5. Computed in float32."""
        within = length_mask(frames, x.shape[1])
        score = (jnp.tanh(self.sap_linear(x)) @ self.attention[...].astype(x.dtype))[:, :, 0].astype(jnp.float32)
        shares = jax.nn.softmax(jnp.where(within, score, jnp.finfo(jnp.float32).min), axis=1)
        states = jnp.where(within[:, :, None], x.astype(jnp.float32), 0)
        mean = jnp.einsum("bn,bnd->bd", shares, states)
        # About the mean, where the original takes the square of the mean from the mean square, which loses digits.
        variance = jnp.einsum("bn,bnd->bd", shares, jnp.square(states - mean[:, None]))
        return jnp.concatenate([mean, jnp.sqrt(jnp.maximum(variance, 1e-5))], axis=-1).astype(x.dtype)


class Layers(nnx.Module):
    """Linear, LayerNorm and ReLU, so many times, and a Linear."""

    def __init__(self, features: int, layout: OdysseyLayout, *, rngs: nnx.Rngs):
        widths = [2 * features, *[features] * layout.layers]
        self.fc = nnx.List(
            [
                nnx.List([nnx.Linear(one, features, rngs=rngs), LayerNorm(features, epsilon=1e-5, rngs=rngs)])
                for one in widths[:-1]
            ]
        )
        self.out = nnx.List([nnx.Linear(widths[-1], layout.outputs, rngs=rngs)])

    def __call__(self, x: Float[Array, "b d"]) -> Float[Array, "b c"]:
        """Return the outputs."""
        for linear, norm in self.fc:
            x = jax.nn.relu(norm(linear(x)))
        outputs: Float[Array, "b c"] = self.out[0](x)
        return outputs


class OdysseyClassifier(nnx.Module):
    """An encoder and its head, for evaluation; a clip's answer is that of the original for the clip alone."""

    def __init__(self, config: EncoderConfig, layout: OdysseyLayout, *, rngs: nnx.Rngs):
        self.layout = layout
        self.speech_encoder = build_encoder(config, rngs=rngs)
        self.pool_model = Statistics(config.hidden_size, rngs=rngs)
        self.ser_model = Layers(config.hidden_size, layout, rngs=rngs)

    def pooled(self, inputs: Inputs) -> Float[Array, "b p"]:
        """Return the mean and deviation of the frames of waves at 16 kHz."""
        wave, lengths = inputs.sound
        within = length_mask(lengths, wave.shape[1])
        wave = jnp.where(within, (wave - self.layout.mean) / (self.layout.deviation + 1e-6), 0)
        output = self.speech_encoder(wave, lengths)
        return self.pool_model(output.hidden_states[-1], output.lengths)

    def __call__(
        self, inputs: Inputs, key: PRNGKeyArray | None = None, weight: Float[Array, "b"] | None = None
    ) -> Float[Array, "b c"]:
        """Return the logits, or values. There is no dropout, and no row depends on another."""
        return self.ser_model(self.pooled(inputs))
