"""Conformer layers (Gulati et al., 2020) of w2v-BERT 2.0 and wav2vec2-conformer, named as in transformers.

Half a feed-forward, attention, convolution, half a feed-forward, each with a norm before it and a residual; then a
norm.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Float32, PRNGKeyArray

from serjax.models.encoders.conformer_attention import Attention, Config, Positions, rotation, sinusoids
from serjax.models.encoders.stack import run_layer
from serjax.models.encoders.wav2vec2 import FeedForward
from serjax.models.encoders.wav2vec2_bert_config import Wav2Vec2BertConfig
from serjax.models.layers.activations import ACTIVATIONS, dropout, split
from serjax.models.layers.batch_norm import BatchNorm
from serjax.models.layers.depthwise import depthwise
from serjax.models.layers.layer_norm import LayerNorm
from serjax.models.layers.matmul import product


class ConvolutionModule(nnx.Module):
    """Gated linear unit, depthwise convolution with a norm, activation, Linear.

    w2v-BERT's convolution sees the frames before alone, and has a LayerNorm. That of wav2vec2-conformer sees both
    sides, and has a batch norm, which uses its running statistics in training too: they are frozen.
    """

    def __init__(self, config: Config, *, rngs: nnx.Rngs):
        size, taps = config.hidden_size, config.conv_depthwise_kernel_size
        self.causal, self.rate = isinstance(config, Wav2Vec2BertConfig), config.conformer_conv_dropout
        self.activation = ACTIVATIONS[config.hidden_act]
        epsilon, start = _epsilon(config), nnx.initializers.he_normal()
        self.layer_norm = LayerNorm(size, epsilon=epsilon, rngs=rngs)
        self.pointwise_conv1 = nnx.Conv(size, 2 * size, 1, use_bias=False, kernel_init=start, rngs=rngs)
        self.depthwise_conv = nnx.Conv(
            size, size, taps, feature_group_count=size, use_bias=False, kernel_init=start, rngs=rngs
        )
        if self.causal:
            self.depthwise_layer_norm = LayerNorm(size, epsilon=epsilon, rngs=rngs)
        else:
            self.batch_norm = BatchNorm(size, rngs=rngs)
        self.pointwise_conv2 = nnx.Conv(size, size, 1, use_bias=False, kernel_init=start, rngs=rngs)

    def __call__(
        self, x: Float[Array, "b n d"], mask: Bool[Array, "b n"] | None, key: PRNGKeyArray | None
    ) -> Float[Array, "b n d"]:
        """Return what is added to x; frames where the mask is False are seen as silence, with None as they are."""
        x = self.layer_norm(x)
        if mask is not None:
            x = jnp.where(mask[:, :, None], x, 0)
        values, gates = jnp.split(_pointwise(x, self.pointwise_conv1), 2, axis=2)
        x = values * jax.nn.sigmoid(gates)
        kernel = self.depthwise_conv.kernel[...]
        taps = kernel.shape[0]
        around = (taps - 1, 0) if self.causal else (taps // 2, taps // 2)
        x = depthwise(x[:, None], kernel[None], 1, ((0, 0), around))[:, 0]
        x = self.depthwise_layer_norm(x) if self.causal else self.batch_norm(x)
        return dropout(_pointwise(self.activation(x), self.pointwise_conv2), self.rate, key)


def _pointwise(x: Float[Array, "b n i"], conv: nnx.Conv) -> Float[Array, "b n o"]:
    """Return a convolution of one tap, which is a matrix product."""
    y = product("ni,io->no", x.reshape(-1, x.shape[-1]), conv.kernel[...][0])
    return y.astype(x.dtype).reshape(*x.shape[:-1], -1)


def _epsilon(config: Config) -> float:
    """Return that of the norms inside a layer."""
    return config.layer_norm_eps if isinstance(config, Wav2Vec2BertConfig) else 1e-5


class EncoderLayer(nnx.Module):
    """Conformer layer."""

    def __init__(self, config: Config, *, rngs: nnx.Rngs):
        def norm() -> nnx.LayerNorm:
            return LayerNorm(config.hidden_size, epsilon=_epsilon(config), rngs=rngs)

        self.rate = config.attention_dropout
        self.ffn1_layer_norm, self.ffn1 = norm(), FeedForward(config, rngs=rngs)
        self.self_attn_layer_norm, self.self_attn = norm(), Attention(config, rngs=rngs)
        self.conv_module = ConvolutionModule(config, rngs=rngs)
        self.ffn2_layer_norm, self.ffn2 = norm(), FeedForward(config, rngs=rngs)
        self.final_layer_norm = norm()

    def __call__(
        self,
        x: Float[Array, "b n d"],
        mask: Bool[Array, "b n"],
        key: PRNGKeyArray | None,
        positions: Positions = None,
        heard: Bool[Array, "b n"] | None = None,
        attentions: bool = False,
    ) -> tuple[Float[Array, "b n d"], Float[Array, "b h n n"] | None]:
        """Return the next hidden states and, if asked for, the attention's shares.

        Args:
            x: Hidden states.
            mask: True where attention looks.
            key: Random key; None for evaluation.
            positions: See `Positions`.
            heard: True where the convolution looks; None: everywhere.
            attentions: Return the shares.
        """
        first, shares, residual, convolved, second = split(key, 5)
        x = x + 0.5 * self.ffn1(self.ffn1_layer_norm(x), first)
        y, weights = self.self_attn(self.self_attn_layer_norm(x), mask, shares, positions, shares=attentions)
        x = x + dropout(y, self.rate, residual)
        x = x + self.conv_module(x, heard, convolved)
        x = x + 0.5 * self.ffn2(self.ffn2_layer_norm(x), second)
        return self.final_layer_norm(x), weights


def run_layers(
    config: Config,
    layers: nnx.List,
    x: Float[Array, "b n d"],
    mask: Bool[Array, "b n"],
    key: PRNGKeyArray | None,
    turns: Float32[Array, "e"] | None,
    heard: Bool[Array, "b n"] | None,
    *,
    frozen_layers: int | None,
    remat: bool,
    attentions: bool = False,
    first: int | None = None,
) -> tuple[list[Float[Array, "b n d"]], tuple[Float[Array, "b h n n"], ...]]:
    """Return hidden states (the first layer's input and each layer's output) and attention.

    Args:
        config: Layout.
        layers: The stack.
        x: Projected features.
        mask: True where a frame is a frame of the clip.
        key: Random key for dropout and layerdrop; None for neither.
        turns: What `rates` returns, or what the checkpoint has in its place.
        heard: True where convolutions look; None: everywhere.
        frozen_layers: So many layers, and what is before them, run without dropout and layerdrop; None for no frozen
            part.
        remat: Recompute each layer in the backward pass.
        attentions: Return attention; else there is none.
        first: Number of the layer to begin with, whose input x is; None for what comes before the layers, too.
    """
    stem, *keys = split(key, 1 + len(layers))
    x = jnp.where(mask[:, :, None], x, 0)
    states = [x if first is not None or frozen_layers is not None else dropout(x, config.hidden_dropout, stem)]
    positions: Positions = None
    if config.position_embeddings_type == "rotary":
        assert turns is not None
        positions = rotation(turns, x.shape[1])
    elif config.position_embeddings_type == "relative":
        positions = sinusoids(x.shape[1], config.hidden_size)
    shares = []
    for index, layer in tuple(enumerate(layers))[first or 0 :]:
        layer_key = None if frozen_layers is not None and index < frozen_layers else keys[index]
        state, weights = run_layer(
            layer,
            states[-1],
            mask,
            layer_key,
            positions,
            heard,
            attentions=attentions,
            layerdrop=config.layerdrop,
            remat=remat,
        )
        states.append(state)
        shares += [] if weights is None else [weights]
    return states, tuple(shares)
