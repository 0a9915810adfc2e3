"""Convolutions whose gradients are matrix products.

XLA's CPU backend is near peak in a float32 convolution's forward pass, but takes 10 to 60 times as long as it should
for the gradient of a grouped convolution's kernel, and of any kernel inside a loop. So the forward pass is XLA's, and
the backward pass differentiates an equal computation that consists of matrix products alone. What each formulation
gains stands in docs/results/speed.md.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import jax
import jax.custom_batching
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from serjax.models.layers.matmul import product
from serjax.runtime.platform import target_platform

_LAYOUT = ("NWC", "WIO", "NWC")
CACHE = 8 << 20
"""Bytes of patches that are made at once on a CPU: in its cache a product is up to twice as fast."""
SMALL = 16
"""Maps of so many positions, and smaller ones, are convolved as a product of windows on a CPU."""


def library(
    x: Float[Array, "b ... i"],
    kernel: Float[Array, "... j o"],
    strides: Sequence[int],
    padding: Literal["VALID"] | Sequence[tuple[int, int]],
    groups: int = 1,
) -> Float[Array, "b ... o"]:
    """Return XLA's convolution, in which clips and folds stay on their devices where folds share the kernel.

    `vmap` makes one batch of such folds' batches. Of a batch whose clips are spread over devices no device then holds a
    stretch, and all clips are gathered everywhere, where each device convolves all of them. Elsewhere than on a CPU
    folds are one more axis of space, which the kernel is one wide along.

    Args:
        x: Batch first, channels last.
        kernel: Inputs and outputs last.
        strides: By axis of space.
        padding: VALID for none, or zeros before and after, by axis of space.
        groups: Of channels.
    """

    def plain(x: Array, kernel: Array, folds: int = 0) -> Array:
        space = "EFGDHW"[8 - x.ndim :]
        return lax.conv_general_dilated(
            x,
            kernel.reshape(*(1,) * folds, *kernel.shape),
            (1,) * folds + tuple(strides),
            padding if isinstance(padding, str) else [(0, 0)] * folds + list(padding),
            dimension_numbers=(f"N{space}C", f"{space}IO", f"N{space}C"),
            feature_group_count=groups,
        )

    if target_platform() == "cpu":
        return plain(x, kernel)

    def behind(folds: int) -> Callable[[Array, Array], Array]:
        """Return the convolution of x with so many axes of folds behind its batch."""
        convolve = jax.custom_batching.custom_vmap(partial(plain, folds=folds))

        def rule(size: int, batched: list[bool], x: Array, kernel: Array) -> tuple[Array, bool]:
            if batched == [True, False]:
                return behind(folds + 1)(x.swapaxes(0, 1), kernel).swapaxes(0, 1), True
            axes = [0 if one else None for one in batched]
            return jax.vmap(partial(plain, folds=folds), axes)(x, kernel), True

        convolve.def_vmap(rule)
        return convolve

    return behind(0)(x, kernel)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def strided(x: Float[Array, "b t i"], kernel: Float[Array, "k i o"], stride: int) -> Float[Array, "b n o"]:
    """Convolve without padding, n = (t - k) // stride + 1; the result is in float32."""
    if x.dtype == jnp.float32 or target_platform() != "cpu":
        return library(x, kernel, (stride,), "VALID").astype(jnp.float32)
    taps, _, outputs = kernel.shape
    parts = [kernel[j : j + stride].reshape(-1, outputs) for j in range(0, taps, stride)]
    pairs = zip(_blocks(x, taps, stride), parts, strict=True)
    return sum((product("bnk,ko->bno", *pair) for pair in pairs), jnp.float32(0))


def _blocks(x: Float[Array, "b t i"], taps: int, stride: int) -> list[Float[Array, "b n si"]]:
    """Return the window of each output, in blocks of `stride` samples, the last of them maybe shorter."""
    batch, length, inputs = x.shape
    count = (length - taps) // stride + 1
    blocks = -(-taps // stride)
    needed = (count + blocks - 1) * stride
    x = jnp.pad(x[:, :needed], ((0, 0), (0, max(0, needed - length)), (0, 0)))
    x = x.reshape(batch, -1, stride * inputs)
    widths = [min(stride, taps - j * stride) * inputs for j in range(blocks)]
    return [x[:, j : j + count, :width] for j, width in enumerate(widths)]


def windows_of(x: Float[Array, "b t i"], taps: int, stride: int) -> Float[Array, "b n ki"]:
    """Return the window of each output."""
    return jnp.concatenate(_blocks(x, taps, stride), axis=-1)


def _strided_forward(x: Array, kernel: Array, stride: int) -> tuple[Array, tuple[Array, Array]]:
    return strided(x, kernel, stride), (x, kernel)


def _strided_backward(stride: int, kept: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, kernel = kept
    taps, _, outputs = kernel.shape
    seen, spread = jax.vjp(partial(windows_of, taps=taps, stride=stride), x)
    gradient = gradient.astype(x.dtype)
    to_kernel = product("bnk,bno->ko", seen, gradient).reshape(kernel.shape)
    to_windows = product("bno,ko->bnk", gradient, kernel.reshape(-1, outputs))
    return spread(to_windows.astype(x.dtype))[0], to_kernel.astype(kernel.dtype)


strided.defvjp(_strided_forward, _strided_backward)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def planar(x: Float[Array, "b h w i"], kernel: Float[Array, "k k i o"], stride: int) -> Float[Array, "b m n o"]:
    """Convolve maps padded with k // 2 zeros on every side; m = (h + 2 (k // 2) - k) // stride + 1."""
    taps, _, _, outputs = kernel.shape
    # XLA takes 30 to 100 times as long on a CPU where the map is smaller than the kernel (2 x 2, 512 channels).
    if target_platform() == "cpu" and x.shape[1] * x.shape[2] <= SMALL and stride == 1 and taps % 2:
        seen = _patches(x, taps, stride)
        return product("bmnk,ko->bmno", seen, kernel.reshape(-1, outputs)).astype(x.dtype)
    pad = [(taps // 2,) * 2] * 2
    return library(x, kernel, (stride, stride), pad)


def _patches(x: Float[Array, "b h w i"], taps: int, stride: int) -> Float[Array, "b m n ki"]:
    """Return the window of each output of `planar`, row by row of the kernel."""
    side = taps // 2
    x = jnp.pad(x, ((0, 0), (side, side), (side, side), (0, 0)))
    high, wide = ((size - taps) // stride * stride + 1 for size in x.shape[1:3])
    places = [(i, j) for i in range(taps) for j in range(taps)]
    return jnp.concatenate([x[:, i : i + high : stride, j : j + wide : stride] for i, j in places], axis=-1)


def _planar_forward(x: Array, kernel: Array, stride: int) -> tuple[Array, tuple[Array, Array]]:
    return planar(x, kernel, stride), (x, kernel)


def _planar_backward(stride: int, kept: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, kernel = kept
    taps, _, _, outputs = kernel.shape
    to_kernel = _to_kernel(x, gradient, taps, stride).reshape(kernel.shape).astype(kernel.dtype)
    if stride == 1 and taps % 2:
        return planar(gradient, kernel[::-1, ::-1].swapaxes(2, 3), 1), to_kernel
    _, spread = jax.vjp(partial(_patches, taps=taps, stride=stride), x)
    to_patches = product("bmno,ko->bmnk", gradient, kernel.reshape(-1, outputs))
    return spread(to_patches.astype(x.dtype))[0], to_kernel


def _to_kernel(
    x: Float[Array, "b h w i"], gradient: Float[Array, "b m n o"], taps: int, stride: int
) -> Float[Array, "ki o"]:
    """Return the gradient of `planar`'s kernel; on a CPU from so many maps at a time that patches stay in its cache."""

    def of(x: Array, gradient: Array) -> Array:
        return product("bmnk,bmno->ko", _patches(x, taps, stride), gradient)

    size = gradient[0].size // gradient.shape[3] * taps**2 * x.shape[3] * x.dtype.itemsize
    at_once = max(count for count in range(1, len(x) + 1) if len(x) % count == 0 and count * size <= max(size, CACHE))
    if target_platform() != "cpu" or at_once == len(x):
        return of(x, gradient)
    parts = (v.reshape(-1, at_once, *v.shape[1:]) for v in (x, gradient))
    start = jnp.zeros((taps**2 * x.shape[3], gradient.shape[3]), jnp.float32)
    return lax.scan(lambda total, part: (total + of(*part), None), start, tuple(parts))[0]


planar.defvjp(_planar_forward, _planar_backward)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def grouped(x: Float[Array, "b n d"], kernel: Float[Array, "k i d"], groups: int) -> Float[Array, "b n d"]:
    """Convolve `groups` groups of i = d / groups channels; y[t] sums kernel[j] x[t + j - k // 2], x being 0 outside."""
    taps = kernel.shape[0]
    around = [(taps // 2, (taps - 1) // 2)]
    if target_platform() != "cpu":
        return library(x, kernel, (1,), around, groups)
    parts = zip(jnp.split(x, groups, axis=2), jnp.split(kernel, groups, axis=2), strict=True)
    return jnp.concatenate(
        [lax.conv_general_dilated(*part, (1,), around, dimension_numbers=_LAYOUT) for part in parts], axis=2
    )


def _fourier(count: int, taps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return real matrices [2 f, ...] that transform frames and taps, and transform frames back."""
    period = count + taps // 2  # what wraps around falls on zeros
    frequency = np.arange(period // 2 + 1)[:, None]

    def waves(place: np.ndarray) -> np.ndarray:
        # The remainder is taken in integers, or the angle's rounding would grow with the clip's length.
        angle = 2 * np.pi / period * (frequency * place % period)
        return np.concatenate([np.cos(angle), -np.sin(angle)])

    twice = np.where((frequency == 0) | (2 * frequency == period), 1, 2) / period
    frames = waves(np.arange(count))
    back = frames * np.concatenate([twice, twice])
    return frames.astype(np.float32), waves(taps // 2 - np.arange(taps)).astype(np.float32), back.astype(np.float32)


def _grouped_product(x: Float[Array, "b n d"], kernel: Float[Array, "k i d"], groups: int) -> Float[Array, "b n d"]:
    """Compute `grouped` by the convolution theorem, in float32: transforms and products are matrix products."""
    (batch, count, size), (taps, inputs, _) = x.shape, kernel.shape
    frames, offsets, back = _fourier(count, taps)
    clips = jnp.einsum("fn,bnd->fbd", frames, x.astype(jnp.float32))
    clips = clips.reshape(2, -1, batch, groups, inputs).swapaxes(2, 3)
    filters = jnp.einsum("fk,kid->fid", offsets, kernel.astype(jnp.float32))
    filters = filters.reshape(2, -1, inputs, groups, size // groups).swapaxes(2, 3)
    real = clips[0] @ filters[0] - clips[1] @ filters[1]
    imaginary = clips[0] @ filters[1] + clips[1] @ filters[0]
    product = jnp.stack([real, imaginary]).swapaxes(2, 3).reshape(-1, batch, size)
    return jnp.einsum("fn,fbd->bnd", back, product).astype(x.dtype)


def _grouped_forward(x: Array, kernel: Array, groups: int) -> tuple[Array, tuple[Array, Array]]:
    return grouped(x, kernel, groups), (x, kernel)


def _grouped_backward(groups: int, kept: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    return jax.vjp(partial(_grouped_product, groups=groups), *kept)[1](gradient)


grouped.defvjp(_grouped_forward, _grouped_backward)
