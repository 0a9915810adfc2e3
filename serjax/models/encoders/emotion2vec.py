"""emotion2vec (Ma et al., 2024): data2vec 2.0's encoder of sound, with ALiBi and learned tokens before the frames.

Attributes of layers are called what FunASR's PyTorch modules call them, and parts what wav2vec2's are called in
transformers; `serjax/checkpoints/funasr.py` translates between the two.
"""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from serjax.models.encoders.attention import in_parts, linear
from serjax.models.encoders.emotion2vec_config import Emotion2vecConfig
from serjax.models.encoders.feature_extractor import FeatureExtractor
from serjax.models.encoders.stack import BaseEncoder, EncoderOutput, check_waves, run_layer
from serjax.models.layers.activations import dropout, gelu, split
from serjax.models.layers.attention import in_blocks, mix
from serjax.models.layers.convolution import grouped
from serjax.models.layers.layer_norm import LayerNorm
from serjax.models.layers.masking import length_mask, span_mask
from serjax.models.layers.matmul import Linear, product


def alibi_slopes(heads: int) -> list[float]:
    """Return each head's loss of score a frame (Press et al., 2022): 1/2, 1/4 ... 1/256 of eight heads.

    Of a number of heads that is no power of two, those of the next lower one, and then every second one of the next
    higher.
    """
    lower = 1 << (heads.bit_length() - 1)
    first = 2.0 ** (-8 / lower)
    slopes = [first**power for power in range(1, lower + 1)]
    return slopes if lower == heads else slopes + alibi_slopes(2 * lower)[::2][: heads - lower]


class PositionalConvLayer(nnx.Module):
    """A grouped convolution, a norm without parameters, and GELU."""

    def __init__(self, config: Emotion2vecConfig, *, rngs: nnx.Rngs):
        size, self.groups = config.hidden_size, config.num_conv_pos_embedding_groups
        bound = nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
        taps = config.conv_pos_kernel_size
        self.conv = nnx.Conv(size, size, taps, feature_group_count=self.groups, kernel_init=bound, rngs=rngs)
        self.layer_norm = LayerNorm(size, epsilon=1e-5, affine=False, rngs=rngs)

    def __call__(self, x: Float[Array, "b n d"]) -> Float[Array, "b n d"]:
        """Return the layer's output."""
        assert self.conv.bias is not None
        y = grouped(x, self.conv.kernel[...], self.groups) + self.conv.bias[...]
        return gelu(self.layer_norm(y)).astype(x.dtype)


class PositionalConvEmbedding(nnx.Module):
    """Convolutional embedding of a frame's position: several layers."""

    def __init__(self, config: Emotion2vecConfig, *, rngs: nnx.Rngs):
        count = config.num_conv_pos_embeddings
        self.layers = nnx.List([PositionalConvLayer(config, rngs=rngs) for _ in range(count)])

    def __call__(self, x: Float[Array, "b n d"], mask: Bool[Array, "b n"]) -> Float[Array, "b n d"]:
        """Return what is to be added to x; each layer hears zeros beyond a clip, as it does of one alone."""
        for layer in self.layers:
            x = layer(jnp.where(mask[:, :, None], x, 0))
        return x


class Attention(nnx.Module):
    """Multi-head self-attention with one product for queries, keys and values, and ALiBi to both sides."""

    def __init__(self, config: Emotion2vecConfig, *, rngs: nnx.Rngs):
        size = config.hidden_size
        self.heads, self.tokens = config.num_attention_heads, config.num_extra_tokens
        self.rate = config.attention_dropout
        self.qkv = linear(size, 3 * size, rngs)
        self.proj = linear(size, size, rngs)

    def __call__(
        self,
        x: Float[Array, "b n d"],
        mask: Bool[Array, "b n"],
        key: PRNGKeyArray | None,
        slopes: Float[Array, "h"],
        *,
        shares: bool = True,
    ) -> tuple[Float[Array, "b n d"], Float[Array, "b h n n"] | None]:
        """Return each place's mixture of those where mask is True, and the shares (dropped out) that made it.

        Args:
            x: Hidden states.
            mask: True where a place is a token or a frame of the clip.
            key: Random key for dropout of the shares; None for no dropout.
            slopes: Loss of score a frame of distance, in float32; the tokens at the front have none.
            shares: Return them; None without.
        """
        batch, count, _ = x.shape
        parts = self.qkv(x).reshape(batch, count, 3, self.heads, -1)
        query, keys, values = (parts[:, :, index].swapaxes(1, 2) for index in range(3))
        query = query * query.shape[-1] ** -0.5
        if not shares and in_parts(count, key):
            lost = -slopes[:, None] * jnp.abs(jnp.arange(1 - count, count))
            mixed = in_blocks(query, keys, values, mask, distance=lost, placeless=self.tokens)
            return self.proj(mixed.swapaxes(1, 2).reshape(x.shape)), None
        place = jnp.arange(count)
        frames = place >= self.tokens
        apart = jnp.where(frames[:, None] & frames, jnp.abs(place - place[:, None]), 0)
        scores = product("bhqe,bhke->bhqk", query, keys) - slopes[:, None, None] * apart
        mixed, found = mix(scores, values, mask, self.rate, key)
        return self.proj(mixed.swapaxes(1, 2).reshape(x.shape)), found if shares else None


class FeedForward(nnx.Module):
    """Linear, GELU, Linear, with dropout behind both."""

    def __init__(self, config: Emotion2vecConfig, *, rngs: nnx.Rngs):
        self.rate = config.activation_dropout
        self.fc1 = linear(config.hidden_size, config.intermediate_size, rngs)
        self.fc2 = linear(config.intermediate_size, config.hidden_size, rngs)

    def __call__(self, x: Float[Array, "b n d"], key: PRNGKeyArray | None) -> Float[Array, "b n d"]:
        """Return the layer's output, without the residual."""
        inner, outer = split(key, 2)
        x = dropout(gelu(self.fc1(x)), self.rate, inner)
        return dropout(self.fc2(x), self.rate, outer)


class EncoderLayer(nnx.Module):
    """Attention and feed-forward with residuals, and norms behind them."""

    def __init__(self, config: Emotion2vecConfig, *, rngs: nnx.Rngs):
        size, epsilon = config.hidden_size, config.layer_norm_eps
        self.hidden_dropout, self.post_mlp_dropout = config.hidden_dropout, config.post_mlp_dropout
        self.attn = Attention(config, rngs=rngs)
        self.norm1 = LayerNorm(size, epsilon=epsilon, rngs=rngs)
        self.mlp = FeedForward(config, rngs=rngs)
        self.norm2 = LayerNorm(size, epsilon=epsilon, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "b n d"],
        mask: Bool[Array, "b n"],
        key: PRNGKeyArray | None,
        slopes: Float[Array, "h"],
        attentions: bool = False,
    ) -> tuple[Float[Array, "b n d"], Float[Array, "b h n n"] | None]:
        """Return the next hidden states and, if asked for, the attention's shares; masked places are not looked at."""
        shares, residual, inner, outer = split(key, 4)
        y, weights = self.attn(x, mask, shares, slopes, shares=attentions)
        x = self.norm1(x + dropout(y, self.hidden_dropout, residual))
        y = dropout(self.mlp(x, inner), self.post_mlp_dropout, outer)
        return self.norm2(x + y), weights


class Encoder(nnx.Module):
    """Positional convolutions, extra tokens, and the stack of the prenet's layers and the blocks."""

    def __init__(self, config: Emotion2vecConfig, *, rngs: nnx.Rngs):
        size, heads, layers = config.hidden_size, config.num_attention_heads, config.num_hidden_layers
        self.config, self.heads = config, heads
        self.pos_conv_embed = PositionalConvEmbedding(config, rngs=rngs)
        tokens = jax.random.normal(rngs.params(), (1, config.num_extra_tokens, size))
        self.extra_tokens = nnx.Param(tokens.at[:, :1].set(0))
        scales = layers if config.learned_alibi_scale_per_layer else 1
        self.alibi_scale = nnx.Param(jnp.ones((scales, 1, heads if config.learned_alibi_scale_per_head else 1, 1, 1)))
        self.layer_norm = LayerNorm(size, epsilon=config.layer_norm_eps, rngs=rngs)
        self.layers = nnx.List([EncoderLayer(config, rngs=rngs) for _ in range(layers)])

    def __call__(
        self,
        x: Float[Array, "b k d"],
        mask: Bool[Array, "b n"],
        key: PRNGKeyArray | None,
        *,
        frozen_layers: int | None,
        remat: bool,
        attentions: bool = False,
        first: int | None = None,
    ) -> tuple[tuple[Float[Array, "b m d"], ...], tuple[Float[Array, "b h n n"], ...]]:
        """Return hidden states of tokens and frames (the first layer's input, each layer's output) and attention.

        Args:
            x: Projected features, k = n; with `first` the input of that layer, k = m = tokens + n, and what comes
                before it is left out.
            mask: True where a frame is a frame of the clip.
            key: Random key for dropout and layerdrop; None for neither.
            frozen_layers: So many layers, and what is before them, run without either; None for no frozen part.
            remat: Recompute each layer in the backward pass.
            attentions: Return attention between frames; what tokens have of it is left out.
            first: Number of the layer to begin with; None for what comes before the layers, too.
        """
        config, tokens = self.config, self.config.num_extra_tokens
        stem, between, *keys = split(key, 2 + len(self.layers))
        if first is None:
            x = x + self.pos_conv_embed(x, mask)
            front = jnp.broadcast_to(self.extra_tokens[...].astype(x.dtype), (len(x), tokens, x.shape[2]))
            x = self.layer_norm(jnp.concatenate([front, x], axis=1))
            x = x if frozen_layers is not None else dropout(x, config.prenet_dropout, stem)
        mask = jnp.pad(mask, ((0, 0), (tokens, 0)), constant_values=True)
        states, shares = [x], []
        for index, layer in tuple(enumerate(self.layers))[first or 0 :]:
            frozen = frozen_layers is not None and index < frozen_layers
            if index == config.prenet_depth and not frozen:
                x = dropout(x, config.dropout_input, between)
            x, weights = run_layer(
                layer,
                x,
                mask,
                None if frozen else keys[index],
                self._slopes(index),
                attentions=attentions,
                layerdrop=config.prenet_layerdrop if index < config.prenet_depth else config.layerdrop,
                remat=remat,
            )
            states.append(x)
            shares += [] if weights is None else [weights[:, :, tokens:, tokens:]]
        return tuple(states), tuple(shares)

    def _slopes(self, layer: int) -> Float[Array, "h"]:
        """Return each head's loss of score a frame in a layer, in float32; a factor below zero counts as zero."""
        scale = self.alibi_scale[...].astype(jnp.float32)
        factor = jnp.maximum(scale[layer if len(scale) > 1 else 0], 0).reshape(-1)
        return jnp.asarray(alibi_slopes(self.heads), jnp.float32) * factor


class FeatureProjection(nnx.Module):
    """From the convolutions' channels to the transformer's width."""

    def __init__(self, config: Emotion2vecConfig, *, rngs: nnx.Rngs):
        channels = config.conv_dim[-1]
        self.layer_norm = LayerNorm(channels, epsilon=1e-5, rngs=rngs)
        bound = nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
        self.projection = Linear(channels, config.hidden_size, kernel_init=bound, rngs=rngs)

    def __call__(self, x: Float[Array, "b n c"]) -> Float[Array, "b n d"]:
        """Return the projected features."""
        return self.projection(self.layer_norm(x))


class SpeechEncoder(BaseEncoder):
    """Convolutions, projection, SpecAugment and `Encoder`; hidden states are of frames, the extra tokens beside them.

    FunASR encodes one clip at a time, without padding, which is what a clip gives here in any batch.
    """

    config: Emotion2vecConfig

    def __init__(self, config: Emotion2vecConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.feature_extractor = FeatureExtractor(config.convolutions, rngs=rngs)
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
        normalize_last: bool = True,
    ) -> EncoderOutput:
        """Encode a batch of clips; see `BaseEncoder`. Both ways of padding are one."""
        check_waves(self.config, wave)
        masks, layers = split(key, 2)
        x = self.feature_projection(self.feature_extractor(wave, None))
        count = self.config.frames(lengths)
        if masks is not None and self.config.apply_spec_augment:
            x = self._augment(x, count, masks)
        within = length_mask(count, x.shape[1])
        options: dict[str, Any] = {"frozen_layers": frozen_layers, "remat": remat, "attentions": attentions}
        states, shares = self.encoder(x, within, layers, **options)
        tokens = self.config.num_extra_tokens
        frames, front = (tuple(state[:, part] for state in states) for part in (slice(tokens, None), slice(tokens)))
        return EncoderOutput(frames, count, shares, front)

    def above(
        self,
        x: Float[Array, "b m d"],
        count: Int[Array, "b"],
        key: PRNGKeyArray | None = None,
        *,
        first: int,
        remat: bool = False,
    ) -> tuple[Float[Array, "b n d"], ...]:
        """Return the frames' last hidden states, from that of index `first`, which is given; see `BaseEncoder`."""
        tokens, layers = self.config.num_extra_tokens, split(key, 2)[1]
        within = length_mask(count, x.shape[1] - tokens)
        states, _ = self.encoder(x, within, layers, frozen_layers=first, remat=remat, first=first)
        return tuple(state[:, tokens:] for state in states)

    def _augment(self, x: Float[Array, "b n d"], count: Int[Array, "b"], key: PRNGKeyArray) -> Float[Array, "b n d"]:
        """Put zero over spans of frames, as in its pretraining, and over spans of features (Park et al., 2019)."""
        config, (time, feature) = self.config, jax.random.split(key)
        if config.mask_time_prob > 0:
            spans = config.mask_time_prob, config.mask_time_length, config.mask_time_min_masks
            x = jnp.where(span_mask(time, count, x.shape[1], *spans)[:, :, None], 0, x)
        if config.mask_feature_prob > 0:
            spans = config.mask_feature_prob, config.mask_feature_length, config.mask_feature_min_masks
            features = jnp.full(len(x), x.shape[2])
            x = jnp.where(span_mask(feature, features, x.shape[2], *spans)[:, None], 0, x)
        return x
