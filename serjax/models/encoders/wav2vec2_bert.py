"""w2v-BERT 2.0 (Seamless, Barrault et al., 2023): pairs of frames of a filter bank, and conformer layers.

Attributes are called what transformers' PyTorch modules call them, so that a checkpoint's names need no table.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Bool, Float, Float32, Int, PRNGKeyArray

from serjax.audio.filter_bank import HOP, WIDTH, filter_bank
from serjax.models.encoders import wav2vec2
from serjax.models.encoders.conformer import EncoderLayer, run_layers
from serjax.models.encoders.conformer_attention import rates
from serjax.models.encoders.wav2vec2_bert_config import STACKED, Wav2Vec2BertConfig
from serjax.models.layers.layer_norm import LayerNorm
from serjax.models.layers.masking import length_mask
from serjax.models.layers.matmul import Linear


def stacked_banks(wave: Float[Array, "b t"], lengths: Int[Array, "b"], mels: int) -> Float32[Array, "b n m"]:
    """Return what SeamlessM4TFeatureExtractor makes of clips: normalised log-mel frames, m = 2 * mels, two by two.

    Each filter has zero mean and unit variance over the frames of a clip, the last one included where there is an odd
    number of them, which then is part of no pair. Values beyond a clip's pairs mean nothing.

    Args:
        wave: Samples at 16 kHz.
        lengths: True samples of each clip.
        mels: Number of filters.
    """
    bank = filter_bank(wave, mels)
    count = jnp.maximum((lengths - WIDTH) // HOP + 1, 0)
    within = length_mask(count, bank.shape[1])[:, :, None]

    def total(x: Float32[Array, "b n m"]) -> Float32[Array, "b 1 m"]:
        return jnp.sum(jnp.where(within, x, 0), axis=1, keepdims=True)

    count = count[:, None, None]
    centred = bank - bank[:, :1]
    centred = centred - total(centred) / jnp.maximum(count, 1)
    variance = total(jnp.square(centred)) / jnp.maximum(count - 1, 1)
    normal = jnp.where(within, centred * lax.rsqrt(variance + 1e-7), 0)
    pairs = bank.shape[1] // STACKED
    return normal[:, : STACKED * pairs].reshape(bank.shape[0], pairs, STACKED * mels)


class FeatureProjection(nnx.Module):
    """From the filter bank to the width of the layers."""

    def __init__(self, config: Wav2Vec2BertConfig, *, rngs: nnx.Rngs):
        inputs = config.feature_projection_input_dim
        self.layer_norm = LayerNorm(inputs, epsilon=config.layer_norm_eps, rngs=rngs)
        bound = nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
        self.projection = Linear(inputs, config.hidden_size, kernel_init=bound, rngs=rngs)

    def __call__(self, x: Float[Array, "b n c"]) -> Float[Array, "b n d"]:
        """Return the projected features, in the dtype of the weights."""
        return self.projection(self.layer_norm(x).astype(self.projection.kernel[...].dtype))


class Encoder(nnx.Module):
    """Stack of layers."""

    def __init__(self, config: Wav2Vec2BertConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.layers = nnx.List([EncoderLayer(config, rngs=rngs) for _ in range(config.num_hidden_layers)])

    def __call__(
        self,
        x: Float[Array, "b n d"],
        mask: Bool[Array, "b n"],
        key: PRNGKeyArray | None,
        *,
        exact: bool = True,
        normalize_last: bool = True,
        **parts: Any,
    ) -> tuple[tuple[Float[Array, "b n d"], ...], tuple[Float[Array, "b h n n"], ...]]:
        """Return hidden states (the first layer's input and each layer's output) and attention; see `run_layers`.

        Padding changes nothing, `exact` or not, and a norm ends every layer, so that there is none to leave out.
        """
        turns = jnp.asarray(rates(self.config)) if self.config.position_embeddings_type == "rotary" else None
        states, shares = run_layers(self.config, self.layers, x, mask, key, turns, mask, **parts)
        return tuple(states), shares


class SpeechEncoder(wav2vec2.SpeechEncoder):
    """Filter bank, projection, SpecAugment and conformer layers.

    Both ways of padding are one: padding is always told apart, and convolutions see what is before alone. The filter
    bank is computed and normalised in float32 from waves of any dtype, and rounded behind that.
    """

    config: Wav2Vec2BertConfig  # type: ignore[assignment]

    def __init__(self, config: Wav2Vec2BertConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.masked_spec_embed = nnx.Param(jax.random.uniform(rngs.params(), (config.hidden_size,)))
        self.feature_projection = FeatureProjection(config, rngs=rngs)  # type: ignore[assignment]
        self.encoder = Encoder(config, rngs=rngs)

    def projected(self, wave: Float[Array, "b t"], lengths: Int[Array, "b"], padding: str) -> Float[Array, "b n d"]:
        """Return the frames of waves in the layers' width."""
        return self.feature_projection(stacked_banks(wave, lengths, self.config.mel_bins))
