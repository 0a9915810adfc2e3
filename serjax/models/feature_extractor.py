"""From the waveform to a frame every 20 ms: seven strided convolutions, named as in transformers."""

from flax import nnx
from jaxtyping import Array, Float, Int

from serjax.models.convolution import normalized, strided
from serjax.models.elementwise import ACTIVATIONS
from serjax.models.encoder_config import EncoderConfig, frames


class ConvLayer(nnx.Module):
    """One convolution with its norm, if it has one, and activation."""

    def __init__(self, config: EncoderConfig, index: int, *, rngs: nnx.Rngs):
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

    def __call__(self, x: Float[Array, "b t c"], lengths: Int[Array, "b"] | None) -> Float[Array, "b n d"]:
        """Return the layer's output; a group norm's statistics cover `lengths` frames, or all where None."""
        kernel, norm = self.conv.kernel[...], self.layer_norm
        if isinstance(norm, nnx.GroupNorm):
            assert norm.scale is not None
            assert norm.bias is not None
            y = normalized(x, kernel, self.stride, lengths, norm.scale[...], norm.bias[...], norm.epsilon)
        else:
            y = strided(x, kernel, self.stride)
            if self.conv.bias is not None:
                y = y + self.conv.bias[...]
            if norm is not None:
                y = norm(y)
        # Rounded once, after the activation: in bfloat16 that keeps the error below PyTorch's.
        return self.activation(y).astype(x.dtype)


def _norm(config: EncoderConfig, index: int, rngs: nnx.Rngs) -> nnx.GroupNorm | nnx.LayerNorm | None:
    """Return the norm of a convolution: after each one, or (feat_extract_norm group) only after the first."""
    size = config.conv_dim[index]
    if config.feat_extract_norm == "layer":
        return nnx.LayerNorm(size, epsilon=1e-5, rngs=rngs)
    return nnx.GroupNorm(size, num_groups=size, epsilon=1e-5, rngs=rngs) if index == 0 else None


class FeatureExtractor(nnx.Module):
    """The stack of convolutions."""

    def __init__(self, config: EncoderConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.conv_layers = nnx.List([ConvLayer(config, index, rngs=rngs) for index in range(len(config.conv_dim))])

    def __call__(self, wave: Float[Array, "b t"], lengths: Int[Array, "b"] | None) -> Float[Array, "b n c"]:
        """Return the features; group norm looks at the first `lengths` samples of a row, or at all where None."""
        first = None if lengths is None else frames(self.config, lengths, layers=1)
        x = wave[:, :, None]
        for layer in self.conv_layers:
            x = layer(x, first)
        return x
