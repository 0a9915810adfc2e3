"""wav2vec2-conformer (fairseq S2T): wav2vec2's convolutions, and conformer layers in place of its transformer.

Attributes are called what transformers' PyTorch modules call them, so that a checkpoint's names need no table.
"""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from serjax.models.encoders import wav2vec2
from serjax.models.encoders.conformer import EncoderLayer, run_layers
from serjax.models.encoders.conformer_attention import rates
from serjax.models.encoders.wav2vec2_conformer_config import Wav2Vec2ConformerConfig
from serjax.models.layers.layer_norm import LayerNorm


class RotaryRates(nnx.Module):
    """Radians that rotary positions turn by, which a checkpoint holds; in float32 whatever the weights are in."""

    def __init__(self, config: Wav2Vec2ConformerConfig):
        self.inv_freq = nnx.BatchStat(jnp.asarray(rates(config)))


class Encoder(nnx.Module):
    """Stack of layers, and a positional convolution that a checkpoint holds and nothing passes through."""

    def __init__(self, config: Wav2Vec2ConformerConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.embed_positions = RotaryRates(config) if config.position_embeddings_type == "rotary" else None
        self.pos_conv_embed = wav2vec2.PositionalConvEmbedding(config, rngs=rngs)
        self.layer_norm = LayerNorm(config.hidden_size, epsilon=config.layer_norm_eps, rngs=rngs)
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
        """Return hidden states (the first layer's input, each layer's output, the last normalised) and attention.

        Args:
            x: Projected features.
            mask: True where a frame is a frame of the clip.
            key: Random key for dropout and layerdrop; None for neither.
            exact: Padding changes nothing; otherwise convolutions look at it, as in transformers.
            normalize_last: False leaves the last state as its last layer gives it.
            parts: Further arguments of `run_layers`.
        """
        turns = None if self.embed_positions is None else self.embed_positions.inv_freq[...]
        heard = mask if exact else None
        states, shares = run_layers(self.config, self.layers, x, mask, key, turns, heard, **parts)
        if normalize_last:
            states[-1] = self.layer_norm(states[-1])
        return tuple(states), shares


class SpeechEncoder(wav2vec2.SpeechEncoder):
    """Convolutions, projection, SpecAugment and conformer layers.

    With padding="transformers" the depthwise convolutions see up to half a kernel of the padding behind a clip, as they
    do there, and group norm's statistics include it.
    """

    stack = Encoder
    config: Wav2Vec2ConformerConfig
