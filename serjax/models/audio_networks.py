"""The two small networks on log-mel images of RAVDESS audio-visual fusion; initialised as PyTorch's layers are."""

import math
from functools import reduce
from itertools import pairwise

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from serjax.models.batch_norm import BatchNorm, column_mask, real_columns, strided
from serjax.models.convolution import planar
from serjax.models.depthwise import pointwise

_KERNEL = nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def _bias(inputs: int) -> nnx.initializers.Initializer:
    bound = 1 / math.sqrt(inputs)
    return lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, -bound, bound)


def linear(inputs: int, outputs: int, rngs: nnx.Rngs) -> nnx.Linear:
    """Return a Linear layer initialised as PyTorch's: weights and bias uniform up to 1 / sqrt(inputs)."""
    return nnx.Linear(inputs, outputs, kernel_init=_KERNEL, bias_init=_bias(inputs), rngs=rngs)


def conv(inputs: int, outputs: int, taps: int, rngs: nnx.Rngs, *, bias: bool = False) -> nnx.Conv:
    """Return a square convolution initialised as PyTorch's."""
    start = _bias(inputs * taps**2)
    return nnx.Conv(inputs, outputs, (taps, taps), use_bias=bias, kernel_init=_KERNEL, bias_init=start, rngs=rngs)


def convolve(layer: nnx.Conv, x: Float[Array, "b h w i"], stride: int = 1) -> Float[Array, "b m n o"]:
    """Return the convolution of zero-padded maps, as large as they where the stride is 1."""
    kernel = layer.kernel[...]
    y = pointwise(x[:, ::stride, ::stride], kernel) if kernel.shape[0] == 1 else planar(x, kernel, stride)
    return y if layer.bias is None else y + layer.bias[...]


def max_pool(x: Float[Array, "b h w c"], size: int, *, padding: int = 0) -> Float[Array, "b m n c"]:
    """Return maxima of square windows, from each second position on; what does not fill a window is left out."""
    high, wide = ((count + 2 * padding - size) // 2 + 1 for count in x.shape[1:3])
    pad = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    x = jnp.pad(x, pad, constant_values=-jnp.inf)
    windows = [x[:, i : i + 2 * high - 1 : 2, j : j + 2 * wide - 1 : 2] for i in range(size) for j in range(size)]
    # One after the other: the gradient of a maximum over an axis takes ten times as long.
    return reduce(jnp.maximum, windows)


def adaptive_average(x: Float[Array, "b h w c"], size: int) -> Float[Array, "b size size c"]:
    """Return means over windows from floor(i * n / size) to ceil((i + 1) * n / size), as PyTorch cuts them."""
    for axis in (1, 2):
        count = x.shape[axis]
        cuts = [(i * count // size, -(-(i + 1) * count // size)) for i in range(size)]
        parts = [jnp.mean(lax.slice_in_dim(x, *cut, axis=axis), axis=axis, keepdims=True) for cut in cuts]
        x = jnp.concatenate(parts, axis=axis)
    return x


class AudioCNN(nnx.Module):
    """Three convolutions with batch norm, 4 x 4 means and two Linear layers: 155,752 parameters for 8 classes."""

    def __init__(self, classes: int, *, rngs: nnx.Rngs):
        widths = (1, 16, 32, 64)
        pairs = list(pairwise(widths))
        self.convs = nnx.List([conv(*pair, 3, rngs, bias=True) for pair in pairs])
        self.norms = nnx.List([BatchNorm(width, rngs=rngs) for _, width in pairs])
        self.fc1 = linear(64 * 16, 128, rngs)
        self.fc2 = linear(128, classes, rngs)

    def features(
        self,
        image: Float[Array, "b m n 1"],
        frames: Int[Array, "b"] | None = None,
        weight: Float[Array, "b"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "b 128"]:
        """Return what the last layer sees; arguments as for a call."""
        x, columns = image, None if key is None else real_columns(image, frames, weight)
        for index, (layer, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            y = convolve(layer, x)
            x = jax.nn.relu(norm(y, column_mask(y, columns)))
            if index < 2:
                x, columns = max_pool(x, 2), strided(columns, 2)
        # PyTorch flattens channels first.
        x = adaptive_average(x, 4).transpose(0, 3, 1, 2).reshape(len(x), -1)
        return jax.nn.relu(self.fc1(x))

    def __call__(
        self,
        image: Float[Array, "b m n 1"],
        frames: Int[Array, "b"] | None = None,
        weight: Float[Array, "b"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "b c"]:
        """Return the logits.

        Args:
            image: Log-mel in dB, 64 bands by frames.
            frames: True frames of each clip, of which training makes batch statistics; None: all.
            weight: 0 for rows that only fill up a batch and stay out of batch statistics; None: there are none.
            key: Any key means training, with the batch's statistics; None evaluation, with the running ones.
        """
        return self.fc2(self.features(image, frames, weight, key))


class PlainBlock(nnx.Module):
    """Convolution, norm, ReLU, convolution, norm; nothing is added."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.conv1 = conv(width, width, 3, rngs)
        self.bn1 = BatchNorm(width, rngs=rngs)
        self.conv2 = conv(width, width, 3, rngs)
        self.bn2 = BatchNorm(width, rngs=rngs)

    def __call__(self, x: Float[Array, "b h w c"], columns: Int[Array, "b"] | None) -> Float[Array, "b h w c"]:
        """Return a map of the same shape; `columns` are the real ones in training."""
        mask = column_mask(x, columns)
        return self.bn2(convolve(self.conv2, jax.nn.relu(self.bn1(convolve(self.conv1, x), mask))), mask)


class AudioResNet18(nnx.Module):
    """A ResNet18 without its residual additions, as the seed has it: 12,785,224 parameters for 8 classes."""

    def __init__(self, classes: int, *, rngs: nnx.Rngs):
        widths = (64, 128, 256, 512)
        self.conv1 = conv(1, 64, 7, rngs)
        self.bn1 = BatchNorm(64, rngs=rngs)
        self.down_convs = nnx.List([conv(width // 2, width, 1, rngs) for width in widths[1:]])
        self.down_norms = nnx.List([BatchNorm(width, rngs=rngs) for width in widths[1:]])
        self.layers = nnx.List([nnx.List([PlainBlock(width, rngs=rngs) for _ in range(2)]) for width in widths])
        self.fc1 = linear(512, 128, rngs)
        self.fc2 = linear(128, classes, rngs)

    def features(
        self,
        image: Float[Array, "b m n 1"],
        frames: Int[Array, "b"] | None = None,
        weight: Float[Array, "b"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "b 128"]:
        """Return what the last layer sees; arguments as for a call."""
        columns = None if key is None else strided(real_columns(image, frames, weight), 2)
        x = convolve(self.conv1, image, 2)
        x = max_pool(jax.nn.relu(self.bn1(x, column_mask(x, columns))), 3, padding=1)
        columns = strided(columns, 2)
        for stage, pair in enumerate(self.layers):
            if stage:
                x, columns = convolve(self.down_convs[stage - 1], x, 2), strided(columns, 2)
                x = self.down_norms[stage - 1](x, column_mask(x, columns))
            for block in pair:
                x = block(x, columns)
        return self.fc1(jnp.mean(x, axis=(1, 2)))

    def __call__(
        self,
        image: Float[Array, "b m n 1"],
        frames: Int[Array, "b"] | None = None,
        weight: Float[Array, "b"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "b c"]:
        """Return the logits; arguments as for `AudioCNN`."""
        return self.fc2(self.features(image, frames, weight, key))
