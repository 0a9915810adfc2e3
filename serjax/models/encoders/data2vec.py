"""data2vec-audio (Baevski et al., 2022): wav2vec2 with layer norms, whose positions are several small convolutions.

Attributes are called what transformers' PyTorch modules call them, so that a checkpoint's names need no table.
"""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from serjax.models.encoders import wav2vec2
from serjax.models.encoders.data2vec_config import Data2VecConfig
from serjax.models.layers.activations import ACTIVATIONS
from serjax.models.layers.convolution import grouped
from serjax.models.layers.layer_norm import LayerNorm


class PositionalConvLayer(nnx.Module):
    """A grouped convolution, a norm without parameters and an activation."""

    def __init__(self, config: Data2VecConfig, *, rngs: nnx.Rngs):
        size, self.groups = config.hidden_size, config.num_conv_pos_embedding_groups
        self.conv = nnx.Conv(
            size,
            size,
            config.conv_pos_kernel_size,
            feature_group_count=self.groups,
            kernel_init=nnx.initializers.he_normal(),
            rngs=rngs,
        )
        self.layer_norm = LayerNorm(size, epsilon=1e-5, affine=False, rngs=rngs)
        self.activation = ACTIVATIONS[config.feat_extract_activation]

    def __call__(self, x: Float[Array, "b n d"]) -> Float[Array, "b n d"]:
        """Return the layer's output."""
        assert self.conv.bias is not None
        y = grouped(x, self.conv.kernel[...], self.groups) + self.conv.bias[...]
        return self.activation(self.layer_norm(y)).astype(x.dtype)


class PositionalConvEmbedding(nnx.Module):
    """Convolutions, one after the other, whose output is added to the frames."""

    def __init__(self, config: Data2VecConfig, *, rngs: nnx.Rngs):
        self.layers = nnx.List([PositionalConvLayer(config, rngs=rngs) for _ in range(config.num_conv_pos_embeddings)])

    def __call__(self, x: Float[Array, "b n d"], mask: Bool[Array, "b n"] | None) -> Float[Array, "b n d"]:
        """Return what is to be added to x, which is zero beyond a clip; without a mask later layers see the padding."""
        for layer in self.layers:
            x = layer(x if mask is None else jnp.where(mask[:, :, None], x, 0))
        return x


class Encoder(wav2vec2.Encoder):
    """Positional convolutions and the stack of layers."""

    positional = PositionalConvEmbedding


class SpeechEncoder(wav2vec2.SpeechEncoder):
    """Convolutions, projection, SpecAugment and transformer."""

    stack = Encoder
