"""A convolution and the group norm behind it as one product, whose moments follow from those of the windows."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from serjax.models.layers.convolution import windows_of
from serjax.models.layers.masking import length_mask

_PART = 128
"""Windows whose moments are summed first."""


class FoldedNorm(NamedTuple):
    """A convolution and the norm behind it as one product, row by row.

    Attributes:
        level: Taken off the inputs first: no constant changes the result.
        mean: Of the windows' mean and shape, with k * i values a window.
        weight: From those to the outputs.
        bias: Added to them.
    """

    level: Float[Array, "b 1 i"]
    mean: Float[Array, "b 1 ki"]
    weight: Float[Array, "b ki o"]
    bias: Float[Array, "o"]


def by_norm(x: Float[Array, "b t i"], norm: FoldedNorm, taps: int, stride: int) -> Float[Array, "b n o"]:
    """Return convolved and normalised inputs, or a part of them, in float32, by what `fold_norm` made of all."""
    seen = _taken_apart(x.astype(jnp.float32) - norm.level, taps, stride)
    return jnp.einsum("bni,bio->bno", seen - norm.mean, norm.weight) + norm.bias


def fold_norm(
    x: Float[Array, "b t i"],
    kernel: Float[Array, "k i o"],
    stride: int,
    counts: Int[Array, "b"] | None,
    scale: Float[Array, "o"],
    bias: Float[Array, "o"],
    epsilon: float,
) -> FoldedNorm:
    """Return a convolution without padding whose outputs are brought to zero mean and unit variance, clip by clip.

    Mean and variance of a sum of inputs follow from the mean and covariance of the inputs, so they are known before the
    convolution, which then yields what is wanted at once. All is computed in float32.

    A covariance squares what hum, rumble or DC exceed the rest by, which band-pass kernels take out again. So windows
    and kernels are first taken apart into their mean and their shape in cosines: what is large then stands alone in one
    place, where what is small is not rounded with it.

    Args:
        x: Inputs, not rounded to 16 bits; few channels, or the covariance costs more than the convolution.
        kernel: Its weights. A bias before a norm has no effect, so there is none.
        stride: From one window to the next.
        counts: So many windows of each row are looked at; all where None.
        scale: By channel, times what is normalised.
        bias: By channel, added to it.
        epsilon: Added to the variance.
    """
    taps, _, outputs = kernel.shape
    x, kernel = x.astype(jnp.float32), kernel.astype(jnp.float32)
    size = (x.shape[1] - taps) // stride + 1
    counts = jnp.full(x.shape[0], size) if counts is None else counts
    samples = jnp.maximum((counts - 1) * stride + taps, 1)
    heard = length_mask(samples, x.shape[1])[:, :, None]
    level = jnp.sum(jnp.where(heard, x, 0), axis=1, keepdims=True) / samples[:, None, None]
    level = lax.stop_gradient(level)
    within = length_mask(counts, size)[:, :, None]
    share = 1 / jnp.maximum(counts, 1)[:, None, None]
    seen = jnp.where(within, _taken_apart(x - level, taps, stride), 0)
    mean = jnp.sum(jnp.sum(_in_parts(seen), axis=2), axis=1)[:, None] * share
    centred = _in_parts(jnp.where(within, seen - mean, 0))
    covariance = jnp.sum(jnp.einsum("bpni,bpnj->bpij", centred, centred, precision="highest"), axis=1) * share
    weight = jnp.concatenate([_exact_sum(kernel)[None], _exact_shape(kernel)]).reshape(-1, outputs)
    variance = jnp.sum(jnp.einsum("bij,jo->bio", covariance, weight, precision="highest") * weight, axis=1)
    factor = (lax.rsqrt(jnp.maximum(variance, 0) + epsilon) * scale)[:, None]
    return FoldedNorm(level, mean, weight * factor, bias)


def _taken_apart(x: Float[Array, "b t i"], taps: int, stride: int) -> Float[Array, "b n ki"]:
    """Return each window's mean, without the rounding of its level, and then what `_shape` makes of it."""
    windows = windows_of(x, taps, stride)
    windows = windows.reshape(*windows.shape[:2], taps, x.shape[2])
    middle = windows[:, :, taps // 2][:, :, None]
    around = windows - middle
    mean = middle + jnp.mean(around, axis=2, keepdims=True)
    return jnp.concatenate([mean, _shape(around, 2)], axis=2).reshape(*windows.shape[:2], -1)


def _in_parts(x: Float[Array, "b n d"]) -> Float[Array, "b p m d"]:
    """Return parts of m rows, filled up with zeros: a sum of their sums is rounded less than one sum of all."""
    if not isinstance(x.shape[1], int):  # exported for any length
        return x[:, None]
    x = jnp.pad(x, ((0, 0), (0, -x.shape[1] % _PART), (0, 0)))
    return x.reshape(x.shape[0], -1, _PART, x.shape[2])


def _cosines(taps: int) -> Float[np.ndarray, "k k-1"]:
    """Return an orthonormal basis of the windows whose mean is 0 (of a DCT-II)."""
    place, wave = np.arange(taps)[:, None] + 0.5, np.arange(1, taps)[None]
    return np.sqrt(2 / taps) * np.cos(np.pi * place * wave / taps)


def _shape(x: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
    """Return coefficients of cosines along an axis but for the constant one: k - 1 of k."""
    cosines = jnp.asarray(_cosines(x.shape[axis]), jnp.float32)
    return jnp.moveaxis(jnp.tensordot(x, cosines, (axis, 0), precision="highest"), -1, axis)


def _exact_shape(kernel: Float[Array, "k i o"]) -> Float[Array, "k-1 i o"]:
    """Return `_shape` of a kernel along its first axis, rounded once: what it errs by, all windows err by.

    Factors are split in halves (Dekker, 1971), whose products of 12 bits each need no rounding.
    """
    cosines = _cosines(len(kernel))
    upper = np.round(cosines * 4096) / 4096
    scaled = 4097 * lax.stop_gradient(kernel)
    first = scaled - (scaled - lax.stop_gradient(kernel))
    exact = [part[None] * row[:, None, None] for part, row in zip(first, upper.astype(np.float32), strict=True)]
    rest = jnp.tensordot((cosines - upper).T.astype(np.float32), first, 1, precision="highest")
    return _exact_sum(jnp.stack([*exact, rest + _shape(kernel - first, 0)]))


def _exact_sum(x: Float[Array, "k ..."]) -> Float[Array, "..."]:
    """Return the sum over the first axis, rounded once (Neumaier, 1974): that of a band-pass kernel is next to zero."""
    total, lost = x[0], jnp.zeros_like(x[0])
    for part in x[1:]:
        new = total + part
        taken = new - total
        lost += (total - (new - taken)) + (part - taken)
        total = new
    return total + lost
