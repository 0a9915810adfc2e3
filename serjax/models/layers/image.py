"""Layers on maps [b h w c], initialised as PyTorch's are: Linear, square convolutions, pooling."""

import math
from functools import reduce

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

from serjax.models.layers.convolution import planar
from serjax.models.layers.depthwise import pointwise

KERNEL = nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
"""PyTorch's initial weights of a Linear layer or convolution: uniform up to 1 / sqrt(inputs)."""


def _bias(inputs: int) -> nnx.initializers.Initializer:
    bound = 1 / math.sqrt(inputs)
    return lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, -bound, bound)


def linear(inputs: int, outputs: int, rngs: nnx.Rngs) -> nnx.Linear:
    """Return a Linear layer initialised as PyTorch's: weights and bias uniform up to 1 / sqrt(inputs)."""
    return nnx.Linear(inputs, outputs, kernel_init=KERNEL, bias_init=_bias(inputs), rngs=rngs)


def conv(inputs: int, outputs: int, taps: int, rngs: nnx.Rngs, *, bias: bool = False) -> nnx.Conv:
    """Return a square convolution initialised as PyTorch's."""
    start = _bias(inputs * taps**2)
    return nnx.Conv(inputs, outputs, (taps, taps), use_bias=bias, kernel_init=KERNEL, bias_init=start, rngs=rngs)


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
