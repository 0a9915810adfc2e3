"""Convolutions of images a channel at a time, and of one pixel, as a CPU computes them fast.

XLA's CPU backend takes ten times as long for a depthwise convolution as for the multiplications and additions it
consists of (docs/results/benchmarks.md).
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from serjax.models.layers.matmul import product
from serjax.runtime.platform import target_platform

Padding = tuple[tuple[int, int], tuple[int, int]]
_WEIGHTS = 6144
"""Weights of one part of the channels, 24 KiB: with more, a 5 x 5 convolution takes up to three times as long."""
_LAYOUT = ("NHWC", "HWIO", "NHWC")


@jax.custom_jvp
def silu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return x * sigmoid(x) by one division, which XLA's CPU backend fuses better than `jax.nn.silu`'s product."""
    return x / (1 + jnp.exp(-x))


@silu.defjvp
def _silu_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (tangent,) = primals, tangents
    share = jax.nn.sigmoid(x)
    return silu(x), tangent * share * (1 + x * (1 - share))


def pointwise(x: Float[Array, "b h w i"], kernel: Float[Array, "1 1 i o"]) -> Float[Array, "b h w o"]:
    """Convolve with one tap, which is a matrix product."""
    y = product("ni,io->no", x.reshape(-1, x.shape[-1]), kernel[0, 0]).astype(x.dtype)
    return y.reshape(*x.shape[:-1], -1)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def depthwise(
    x: Float[Array, "b h w c"], kernel: Float[Array, "k l 1 c"], stride: int, padding: Padding
) -> Float[Array, "b i j c"]:
    """Convolve each channel with its own taps.

    Args:
        x: Channels last.
        kernel: As nnx.Conv holds it.
        stride: From one window to the next, both ways.
        padding: Zeros before and after, by axis.
    """
    if target_platform() != "cpu":
        return _library(x, kernel, stride, padding)
    return _taps(x, kernel, stride, padding)


def _library(x: Array, kernel: Array, stride: int, padding: Padding) -> Array:
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=_LAYOUT, feature_group_count=x.shape[-1]
    )


def _windows(x: Array, taps: tuple[int, ...], stride: int, padding: Padding) -> dict[tuple[int, int], Array]:
    """Return the input under each tap of the kernel, by tap."""
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    high, wide = ((x.shape[axis + 1] - taps[axis]) // stride + 1 for axis in (0, 1))
    span = [(count - 1) * stride + 1 for count in (high, wide)]
    return {
        (i, j): x[:, i : i + span[0] : stride, j : j + span[1] : stride] for i in range(taps[0]) for j in range(taps[1])
    }


def _taps(x: Array, kernel: Array, stride: int, padding: Padding) -> Array:
    """Convolve as a sum over taps, so many channels at a time that a core's first cache holds their weights."""
    channels, taps = x.shape[-1], kernel.shape[0] * kernel.shape[1]
    part = next((n for n in range(channels, 15, -1) if channels % n == n % 16 == 0 and taps * n <= _WEIGHTS), channels)
    weights = kernel[:, :, 0].astype(jnp.float32)
    windows = _windows(x.astype(jnp.float32), kernel.shape[:2], stride, padding)
    sums = [
        sum((seen[..., c : c + part] * weights[i, j, c : c + part] for (i, j), seen in windows.items()), jnp.float32(0))
        for c in range(0, channels, part)
    ]
    return jnp.concatenate(sums, axis=-1).astype(x.dtype)


def _forward(x: Array, kernel: Array, stride: int, padding: Padding) -> tuple[Array, tuple[Array, Array]]:
    return depthwise(x, kernel, stride, padding), (x, kernel)


def _backward(stride: int, padding: Padding, kept: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    if target_platform() != "cpu":
        return jax.vjp(partial(_library, stride=stride, padding=padding), *kept)[1](gradient)
    (x, kernel), full = kept, gradient.astype(jnp.float32)
    to_x = _to_input(full, kernel.astype(jnp.float32), x.shape, stride, padding)
    to_kernel = _to_kernel(full, x.astype(jnp.float32), kernel.shape[:2], stride, padding)
    return to_x.astype(x.dtype), to_kernel.astype(kernel.dtype)


def _to_input(gradient: Array, kernel: Array, shape: tuple[int, ...], stride: int, padding: Padding) -> Array:
    """Return the gradient of x; the positions of each remainder by the stride are a plain convolution."""
    rest = [
        [(tap, (place + before - tap) // stride) for tap in range(taps) if (place + before - tap) % stride == 0]
        for (before, _), taps in zip(padding, kernel.shape[:2], strict=True)
        for place in range(stride)
    ]
    counts = [-(-count // stride) for count in shape[1:3]]
    around = [
        ((taps - 1) // stride, max(0, count + (stride - 1 + before) // stride - have))
        for taps, count, have, (before, _) in zip(kernel.shape, counts, gradient.shape[1:3], padding, strict=False)
    ]
    gradient = jnp.pad(gradient, ((0, 0), *around, (0, 0)))

    def part(rows: list[tuple[int, int]], columns: list[tuple[int, int]]) -> Array:
        total = jnp.zeros((shape[0], *counts, shape[3]))
        for i, down in rows:
            for j, right in columns:
                first, second = down + around[0][0], right + around[1][0]
                seen = gradient[:, first : first + counts[0], second : second + counts[1]]
                total = total + seen * kernel[i, j, 0]
        return total

    parts = jnp.stack([jnp.stack([part(i, j) for j in rest[stride:]], axis=3) for i in rest[:stride]], axis=2)
    whole = parts.reshape(shape[0], counts[0] * stride, counts[1] * stride, shape[3])
    return whole[:, : shape[1], : shape[2]]


def _to_kernel(gradient: Array, x: Array, taps: tuple[int, ...], stride: int, padding: Padding) -> Array:
    """Return the gradient of the kernel, clip by clip so that each stays in the cache while all taps look at it."""
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    _, high, wide, channels = gradient.shape
    span = (wide - 1) * stride + 1
    places = [(i, j) for i in range(taps[0]) for j in range(taps[1])]

    def add(sums: list[Array], clip: tuple[Array, Array]) -> tuple[list[Array], None]:
        image, slope = clip
        # Row by row and not as one sum: XLA makes one loop of that, and writes no product to memory.
        for row in range(high):
            sums = [
                total + image[row * stride + i, j : j + span : stride] * slope[row]
                for total, (i, j) in zip(sums, places, strict=True)
            ]
        return sums, None

    sums, _ = lax.scan(add, [jnp.zeros((wide, channels))] * len(places), (x, gradient))
    return jnp.stack([total.sum(0) for total in sums]).reshape(*taps, 1, channels)


depthwise.defvjp(_forward, _backward)
