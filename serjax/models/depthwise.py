"""Convolutions of images a channel at a time, and of one pixel, as a CPU computes them fast.

XLA's CPU backend takes ten times as long for a depthwise convolution as for the multiplications and additions it
consists of (docs/spectrograms.md).
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from serjax.models.product import product

Padding = tuple[tuple[int, int], tuple[int, int]]
_LAYOUT = ("NHWC", "HWIO", "NHWC")


def pointwise(x: Float[Array, "b h w i"], kernel: Float[Array, "1 1 i o"]) -> Float[Array, "b h w o"]:
    """Convolve with one tap, which is a matrix product."""
    y = product("ni,io->no", x.reshape(-1, x.shape[-1]), kernel[0, 0]).astype(x.dtype)
    return y.reshape(*x.shape[:-1], -1)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def depthwise(
    x: Float[Array, "b h w c"], kernel: Float[Array, "k k 1 c"], stride: int, padding: Padding
) -> Float[Array, "b i j c"]:
    """Convolve each channel with its own taps.

    Args:
        x: Channels last.
        kernel: As nnx.Conv holds it.
        stride: From one window to the next, both ways.
        padding: Zeros before and after, by axis.
    """
    if jax.default_backend() != "cpu":
        return _library(x, kernel, stride, padding)
    return _taps(x, kernel, stride, padding)


def _library(x: Array, kernel: Array, stride: int, padding: Padding) -> Array:
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=_LAYOUT, feature_group_count=x.shape[-1]
    )


def _windows(x: Array, taps: tuple[int, ...], stride: int, padding: Padding) -> dict[tuple[int, int], Array]:
    """Return what each tap sees, by tap."""
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    high, wide = ((x.shape[axis + 1] - taps[axis]) // stride + 1 for axis in (0, 1))
    span = [(count - 1) * stride + 1 for count in (high, wide)]
    return {
        (i, j): x[:, i : i + span[0] : stride, j : j + span[1] : stride] for i in range(taps[0]) for j in range(taps[1])
    }


def _taps(x: Array, kernel: Array, stride: int, padding: Padding) -> Array:
    windows = _windows(x.astype(jnp.float32), kernel.shape[:2], stride, padding)
    weights = kernel.astype(jnp.float32)
    return sum((seen * weights[i, j, 0] for (i, j), seen in windows.items()), jnp.float32(0)).astype(x.dtype)


def _forward(x: Array, kernel: Array, stride: int, padding: Padding) -> tuple[Array, tuple[Array, Array]]:
    return depthwise(x, kernel, stride, padding), (x, kernel)


def _backward(stride: int, padding: Padding, kept: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    function = _taps if jax.default_backend() == "cpu" else _library
    return jax.vjp(partial(function, stride=stride, padding=padding), *kept)[1](gradient)


depthwise.defvjp(_forward, _backward)
