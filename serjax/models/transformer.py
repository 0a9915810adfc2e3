"""Positional convolution and transformer layers of the speech encoders, named as in transformers."""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from serjax.models.attention import Attention, GatedAttention, linear
from serjax.models.convolution import grouped
from serjax.models.elementwise import ACTIVATIONS, dropout, split
from serjax.models.encoder_config import EncoderConfig


class WeightNormConv(nnx.Module):
    """A grouped convolution trained as direction and length (PyTorch's weight_norm with dim=2).

    kernel = weight_g * weight_v / |weight_v|, the norm of a tap taken over all its weights (Salimans and Kingma, 2016).
    """

    def __init__(self, config: EncoderConfig, *, rngs: nnx.Rngs):
        size, taps = config.hidden_size, config.num_conv_pos_embeddings
        self.groups = config.num_conv_pos_embedding_groups
        deviation = 2 * math.sqrt(1 / (taps * size))
        direction = deviation * jax.random.normal(rngs.params(), (taps, size // self.groups, size))
        self.weight_g = nnx.Param(_tap_norm(direction))
        self.weight_v = nnx.Param(direction)
        self.bias = nnx.Param(jnp.zeros(size))

    def __call__(self, x: Float[Array, "b n d"]) -> Float[Array, "b n d"]:
        """Return the convolution, as long as x; an even kernel sees one more frame before than after."""
        direction = self.weight_v[...]
        kernel = direction * (self.weight_g[...] / _tap_norm(direction)).astype(direction.dtype)
        return grouped(x, kernel, self.groups) + self.bias[...]


def _tap_norm(weight: Float[Array, "k i o"]) -> Float[Array, "k 1 1"]:
    return jnp.sqrt(jnp.sum(jnp.square(weight.astype(jnp.float32)), axis=(1, 2), keepdims=True))


class PositionalConvEmbedding(nnx.Module):
    """Where a frame stands, told by its neighbourhood."""

    def __init__(self, config: EncoderConfig, *, rngs: nnx.Rngs):
        self.conv = WeightNormConv(config, rngs=rngs)
        self.activation = ACTIVATIONS[config.feat_extract_activation]

    def __call__(self, x: Float[Array, "b n d"]) -> Float[Array, "b n d"]:
        """Return what is to be added to x."""
        return self.activation(self.conv(x))


class FeedForward(nnx.Module):
    """Two Linear layers with an activation between."""

    def __init__(self, config: EncoderConfig, *, rngs: nnx.Rngs):
        self.activation = ACTIVATIONS[config.hidden_act]
        self.activation_dropout = config.activation_dropout
        self.hidden_dropout = config.hidden_dropout
        self.intermediate_dense = linear(config.hidden_size, config.intermediate_size, rngs)
        self.output_dense = linear(config.intermediate_size, config.hidden_size, rngs)

    def __call__(self, x: Float[Array, "b n d"], key: PRNGKeyArray | None) -> Float[Array, "b n d"]:
        """Return the layer's output, without the residual."""
        inner, outer = split(key, 2)
        x = dropout(self.activation(self.intermediate_dense(x)), self.activation_dropout, inner)
        return dropout(self.output_dense(x), self.hidden_dropout, outer)


class EncoderLayer(nnx.Module):
    """Attention and feed-forward with residuals; norms after them, or before them (`do_stable_layer_norm`)."""

    def __init__(self, config: EncoderConfig, index: int, *, rngs: nnx.Rngs):
        self.norm_first = config.do_stable_layer_norm
        self.hidden_dropout = config.hidden_dropout
        if config.model_type == "wavlm":
            self.attention: Attention = GatedAttention(config, first=index == 0, rngs=rngs)
        else:
            self.attention = Attention(config, rngs=rngs)
        self.layer_norm = nnx.LayerNorm(config.hidden_size, epsilon=config.layer_norm_eps, rngs=rngs)
        self.feed_forward = FeedForward(config, rngs=rngs)
        self.final_layer_norm = nnx.LayerNorm(config.hidden_size, epsilon=config.layer_norm_eps, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "b n d"],
        mask: Bool[Array, "b n"],
        key: PRNGKeyArray | None,
        position: Float[Array, "h n n"] | None = None,
    ) -> tuple[Float[Array, "b n d"], Float[Array, "b h n n"]]:
        """Return the next hidden states and the attention's shares; frames where mask is False are not looked at."""
        shares, residual, inner = split(key, 3)
        y, weights = self.attention(self.layer_norm(x) if self.norm_first else x, mask, shares, position)
        x = x + dropout(y, self.hidden_dropout, residual)
        if self.norm_first:
            return x + self.feed_forward(self.final_layer_norm(x), inner), weights
        x = self.layer_norm(x)
        return self.final_layer_norm(x + self.feed_forward(x, inner)), weights


class Encoder(nnx.Module):
    """Positional convolution and the stack of layers."""

    def __init__(self, config: EncoderConfig, *, rngs: nnx.Rngs):
        self.norm_first = config.do_stable_layer_norm
        self.hidden_dropout = config.hidden_dropout
        # WavLM never skips its first layer.
        self.layerdrop = tuple(
            0.0 if index == 0 and config.model_type == "wavlm" else config.layerdrop
            for index in range(config.num_hidden_layers)
        )
        self.pos_conv_embed = PositionalConvEmbedding(config, rngs=rngs)
        self.layer_norm = nnx.LayerNorm(config.hidden_size, epsilon=config.layer_norm_eps, rngs=rngs)
        self.layers = nnx.List([EncoderLayer(config, index, rngs=rngs) for index in range(config.num_hidden_layers)])

    def __call__(
        self,
        x: Float[Array, "b n d"],
        mask: Bool[Array, "b n"],
        key: PRNGKeyArray | None,
        *,
        frozen_layers: int | None,
        remat: bool,
    ) -> tuple[tuple[Float[Array, "b n d"], ...], tuple[Float[Array, "b h n n"], ...]]:
        """Return hidden states (the first layer's input, each layer's output, the last normalised) and attention.

        Args:
            x: Projected features.
            mask: True where a frame is a frame of the clip.
            key: Random key for dropout and layerdrop; None for neither.
            frozen_layers: So many layers, and the positional convolution, run without either; None for no frozen part.
            remat: Recompute each layer in the backward pass.
        """
        stem, *keys = split(key, 1 + len(self.layers))
        x = jnp.where(mask[:, :, None], x, 0)
        x = x + self.pos_conv_embed(x)
        if not self.norm_first:
            x = self.layer_norm(x)
        states = [x if frozen_layers is not None else dropout(x, self.hidden_dropout, stem)]
        shares = []
        first = self.layers[0].attention if self.layers else None
        position = first.relative_position(x.shape[1]) if isinstance(first, GatedAttention) else None
        for index, layer in enumerate(self.layers):
            layer_key = None if frozen_layers is not None and index < frozen_layers else keys[index]
            state, weights = _apply(layer, states[-1], mask, layer_key, position, self.layerdrop[index], remat)
            states.append(state)
            shares.append(weights)
        if self.norm_first:
            states[-1] = self.layer_norm(states[-1])
        return tuple(states), tuple(shares)


def _apply(
    layer: EncoderLayer,
    x: Float[Array, "b n d"],
    mask: Bool[Array, "b n"],
    key: PRNGKeyArray | None,
    position: Float[Array, "h n n"] | None,
    layerdrop: float,
    remat: bool,
) -> tuple[Float[Array, "b n d"], Float[Array, "b h n n"]]:
    """Run a layer, or skip it with probability `layerdrop`, for the batch as a whole as transformers does."""
    skip, inner = split(key, 2)
    if remat:
        graphdef, state = nnx.split(layer)
        run = jax.checkpoint(lambda state, *inputs: nnx.merge(graphdef, state)(*inputs))
        y, weights = run(state, x, mask, inner, position)
    else:
        y, weights = layer(x, mask, inner, position)
    return y if skip is None or layerdrop == 0 else jnp.where(jax.random.bernoulli(skip, layerdrop), x, y), weights
