"""wav2vec2, HuBERT and WavLM: one encoder, told apart by its configuration.

Attributes are called what transformers' PyTorch modules call them, so that a checkpoint's names need no table.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from serjax.models.elementwise import dropout, split
from serjax.models.encoder_config import EncoderConfig, frames
from serjax.models.feature_extractor import FeatureExtractor
from serjax.models.masking import length_mask, span_mask
from serjax.models.product import Linear
from serjax.models.transformer import Encoder


class Hidden(NamedTuple):
    """What an encoder makes of a batch.

    Attributes:
        states: The first layer's input and each layer's output; the last one is normalised in both layouts, as
            `last_hidden_state` is in transformers. Values beyond a clip's frames mean nothing.
        frames: Number of frames of each clip.
        attentions: How much of each frame (last axis) each frame takes, in every head of every layer; empty unless
            asked for.
    """

    states: tuple[Float[Array, "b n d"], ...]
    frames: Int[Array, "b"]
    attentions: tuple[Float[Array, "b h n n"], ...] = ()


class FeatureProjection(nnx.Module):
    """From the convolutions' channels to the transformer's width."""

    def __init__(self, config: EncoderConfig, *, rngs: nnx.Rngs):
        channels = config.conv_dim[-1]
        self.layer_norm = (
            nnx.LayerNorm(channels, epsilon=config.layer_norm_eps, rngs=rngs) if config.feat_proj_layer_norm else None
        )
        bound = nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
        self.projection = Linear(channels, config.hidden_size, kernel_init=bound, rngs=rngs)

    def __call__(self, x: Float[Array, "b n c"]) -> Float[Array, "b n d"]:
        """Return the projected features."""
        return self.projection(x if self.layer_norm is None else self.layer_norm(x))


class SpeechEncoder(nnx.Module):
    """Convolutions, projection, SpecAugment and transformer.

    Parameters are in float32; where the caller casts them and the wave to bfloat16, norms, softmax and group
    statistics still compute in float32.
    """

    def __init__(self, config: EncoderConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.masked_spec_embed = nnx.Param(jax.random.uniform(rngs.params(), (config.hidden_size,)))
        self.feature_extractor = FeatureExtractor(config, rngs=rngs)
        self.feature_projection = FeatureProjection(config, rngs=rngs)
        self.encoder = Encoder(config, rngs=rngs)

    def __call__(
        self,
        wave: Float[Array, "b t"],
        lengths: Int[Array, "b"],
        key: PRNGKeyArray | None = None,
        *,
        padding: Literal["exact", "transformers"] = "exact",
        frozen_layers: int | None = None,
        remat: bool = False,
        attentions: bool = False,
    ) -> Hidden:
        """Encode a batch of clips.

        Args:
            wave: Samples at 16 kHz, padded on the right, t at least the receptive field.
            lengths: True number of samples of each clip.
            key: Random key for SpecAugment, dropout and layerdrop; None for evaluation, which has none of them.
            padding: exact: padding changes nothing. transformers: group norm's statistics include the padding.
            frozen_layers: Everything up to this many transformer layers runs without dropout and layerdrop
                (SpecAugment stays); None where no more than the convolutions is frozen.
            remat: Recompute transformer layers in the backward pass instead of keeping what they computed.
            attentions: Return attention weights too.
        """
        projected, masks, layers = split(key, 3)
        x = self.feature_extractor(wave, lengths if padding == "exact" else None)
        count = frames(self.config, lengths)
        within = length_mask(count, x.shape[1])
        x = self.feature_projection(x)
        if frozen_layers is None:
            x = dropout(x, self.config.feat_proj_dropout, projected)
        if masks is not None and self.config.apply_spec_augment:
            x = self._augment(x, count, masks)
        states, shares = self.encoder(x, within, layers, frozen_layers=frozen_layers, remat=remat)
        return Hidden(states, count, shares if attentions else ())

    def _augment(self, x: Float[Array, "b n d"], count: Int[Array, "b"], key: PRNGKeyArray) -> Float[Array, "b n d"]:
        """Put the mask embedding over spans of frames and zero over spans of features (Park et al., 2019)."""
        config, (time, feature) = self.config, jax.random.split(key)
        if config.mask_time_prob > 0:
            hidden: Bool[Array, "b n"] = span_mask(
                time, count, x.shape[1], config.mask_time_prob, config.mask_time_length, config.mask_time_min_masks
            )
            x = jnp.where(hidden[:, :, None], self.masked_spec_embed[...], x)
        if config.mask_feature_prob > 0:
            size = x.shape[2]
            hidden = span_mask(
                feature,
                jnp.full(x.shape[0], size),
                size,
                config.mask_feature_prob,
                config.mask_feature_length,
                config.mask_feature_min_masks,
            )
            x = jnp.where(hidden[:, None, :], 0, x)
        return x
