"""Convolutions of speech encoders, from waves to frames, named as in transformers."""

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Float, Int

from serjax.models.encoders.wav2vec2_config import Wav2Vec2Config
from serjax.models.layers.activations import ACTIVATIONS
from serjax.models.layers.attention import LONG
from serjax.models.layers.convolution import strided
from serjax.models.layers.folded_norm import FoldedNorm, by_norm, fold_norm
from serjax.models.layers.layer_norm import LayerNorm


class ConvLayer(nnx.Module):
    """One convolution with its norm, if it has one, and activation."""

    def __init__(self, config: Wav2Vec2Config, index: int, *, rngs: nnx.Rngs):
        channels = 1 if index == 0 else config.conv_dim[index - 1]
        self.conv = nnx.Conv(
            channels,
            config.conv_dim[index],
            config.conv_kernel[index],
            use_bias=config.conv_bias,
            kernel_init=nnx.initializers.he_normal(),
            rngs=rngs,
        )
        self.stride = config.conv_stride[index]
        self.layer_norm = _norm(config, index, rngs)
        self.activation = ACTIVATIONS[config.feat_extract_activation]

    def folded(self, x: Float[Array, "b t c"], lengths: Int[Array, "b"] | None) -> FoldedNorm | None:
        """Return the convolution with its group norm, if it has one; statistics cover `lengths` frames, or all."""
        norm = self.layer_norm
        if not isinstance(norm, nnx.GroupNorm):
            return None
        assert norm.scale is not None
        assert norm.bias is not None
        return fold_norm(x, self.conv.kernel[...], self.stride, lengths, norm.scale[...], norm.bias[...], norm.epsilon)

    def __call__(self, x: Float[Array, "b t c"], folded: FoldedNorm | None) -> Float[Array, "b n d"]:
        """Return the layer's output, given what `folded` returns of the whole clip."""
        kernel, norm = self.conv.kernel[...], self.layer_norm
        if folded is not None:
            y = by_norm(x, folded, kernel.shape[0], self.stride)
        else:
            y = strided(x.astype(kernel.dtype), kernel, self.stride)
            if self.conv.bias is not None:
                y = y + self.conv.bias[...]
            if isinstance(norm, nnx.LayerNorm):
                y = norm(y)
        # Rounded once, after the activation: in bfloat16 that keeps the error below PyTorch's.
        return self.activation(y).astype(kernel.dtype)


def _norm(config: Wav2Vec2Config, index: int, rngs: nnx.Rngs) -> nnx.GroupNorm | nnx.LayerNorm | None:
    """Return the norm of a convolution: after each one, or (feat_extract_norm group) only after the first."""
    size = config.conv_dim[index]
    if config.feat_extract_norm == "layer":
        return LayerNorm(size, epsilon=1e-5, rngs=rngs)
    return nnx.GroupNorm(size, num_groups=size, epsilon=1e-5, rngs=rngs) if index == 0 else None


class FeatureExtractor(nnx.Module):
    """The stack of convolutions."""

    def __init__(self, config: Wav2Vec2Config, *, rngs: nnx.Rngs):
        self.config = config
        self.conv_layers = nnx.List([ConvLayer(config, index, rngs=rngs) for index in range(len(config.conv_dim))])

    def __call__(self, wave: Float[Array, "b t"], lengths: Int[Array, "b"] | None) -> Float[Array, "b n c"]:
        """Return the features; group norm looks at the first `lengths` samples of a row, or at all where None."""
        first = None if lengths is None else self.config.frames(lengths, layers=1)
        folded = self.conv_layers[0].folded(wave[:, :, None], first)

        def convolve(wave: Float[Array, "b t"]) -> Float[Array, "b n c"]:
            x = self.conv_layers[0](wave[:, :, None], folded)
            for layer in self.conv_layers[1:]:
                x = layer(x, None)
            return x

        count = self.config.frames(wave.shape[1])
        if not isinstance(count, int) or count <= LONG:
            return convolve(wave)
        # The first maps of a long clip are 100 times as large as the wave: stretch by stretch, they are never whole.
        hop, stretch = self.config.frame_hop, LONG * self.config.frame_hop
        starts = np.arange(0, count, LONG) * hop
        needed = stretch - hop + self.config.min_samples
        wave = jnp.pad(wave, ((0, 0), (0, max(0, int(starts[-1]) + needed - wave.shape[1]))))
        found = lax.map(lambda start: convolve(lax.dynamic_slice_in_dim(wave, start, needed, axis=1)), starts)
        return jnp.moveaxis(found, 0, 1).reshape(len(wave), -1, found.shape[-1])[:, :count]
