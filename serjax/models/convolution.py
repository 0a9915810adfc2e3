"""Convolutions whose gradients are matrix products.

XLA's CPU backend is near peak in a convolution's forward pass, but takes 10 to 60 times as long as it should for the
gradient of a grouped convolution's kernel, and of any kernel inside a loop. So the forward pass is
XLA's, and the backward pass differentiates an equal computation that consists of matrix products alone.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

_LAYOUT = ("NWC", "WIO", "NWC")


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def strided(x: Float[Array, "b t i"], kernel: Float[Array, "k i o"], stride: int) -> Float[Array, "b n o"]:
    """Convolve without padding, n = (t - k) // stride + 1."""
    return lax.conv_general_dilated(x, kernel, (stride,), "VALID", dimension_numbers=_LAYOUT)


def _windows(x: Float[Array, "b t i"], taps: int, stride: int) -> Float[Array, "b n ki"]:
    """Return what each output sees, put together from blocks of `stride` samples."""
    batch, length, inputs = x.shape
    count = (length - taps) // stride + 1
    blocks = -(-taps // stride)
    needed = (count + blocks - 1) * stride
    x = jnp.pad(x[:, :needed], ((0, 0), (0, max(0, needed - length)), (0, 0)))
    x = x.reshape(batch, -1, stride * inputs)
    widths = [min(stride, taps - j * stride) * inputs for j in range(blocks)]
    return jnp.concatenate([x[:, j : j + count, :width] for j, width in enumerate(widths)], axis=-1)


def _strided_forward(x: Array, kernel: Array, stride: int) -> tuple[Array, tuple[Array, Array]]:
    return strided(x, kernel, stride), (x, kernel)


def _strided_backward(stride: int, kept: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, kernel = kept
    windows, spread = jax.vjp(partial(_windows, taps=kernel.shape[0], stride=stride), x)
    to_kernel = jnp.einsum("bnk,bno->ko", windows, gradient).reshape(kernel.shape)
    return spread(gradient @ kernel.reshape(-1, kernel.shape[2]).T)[0], to_kernel


strided.defvjp(_strided_forward, _strided_backward)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def grouped(x: Float[Array, "b n d"], kernel: Float[Array, "k i d"], groups: int) -> Float[Array, "b n d"]:
    """Convolve `groups` groups of i = d / groups channels; y[t] sums kernel[j] x[t + j - k // 2], x being 0 outside."""
    taps = kernel.shape[0]
    return lax.conv_general_dilated(
        x,
        kernel,
        (1,),
        [(taps // 2, (taps - 1) // 2)],
        dimension_numbers=_LAYOUT,
        feature_group_count=groups,
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
