"""Augmentation of video on the device: blurred, darkened and noisy pictures, drawn anew with every key.

What is drawn is drawn once a clip, noise included, so that all its frames change alike, as they would with another
camera in another room. Rows are drawn on their own; every function may be jitted and mapped.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, UInt8

from serjax.video.config import VideoAugment

BLURS = (3, 5, 7)
"""Sizes in pixels of the Gaussian kernels."""


def change(
    key: PRNGKeyArray, video: UInt8[Array, "b f h w c"] | Float[Array, "b f h w c"], config: VideoAugment
) -> Float[Array, "b f h w c"]:
    """Blur, darken and add noise, in this order; values from 0 to 255 stay within."""
    blurred, dark, noisy = jax.random.split(key, 3)
    video = blur(blurred, video.astype(jnp.float32), config.blur_p)
    video = darken(dark, video, *config.brightness, config.brightness_p)
    return jnp.clip(add_noise(noisy, video, 255 * config.noise, config.noise_p), 0, 255)


def blur(key: PRNGKeyArray, video: Float[Array, "b f h w c"], probability: float) -> Float[Array, "b f h w c"]:
    """Smooth each clip, with `probability`, by a Gaussian kernel of one of `BLURS`.

    It is OpenCV's GaussianBlur, whose deviation follows from the size, 0.3 ((size - 1) / 2 - 1) + 0.8 pixels, and which
    sees the picture mirrored beyond its edge.
    """
    if probability == 0:
        return video
    which, here = jax.random.split(key)
    row = jax.random.randint(which, (len(video),), 0, len(BLURS))
    kernel = jnp.where(_chance(here, video, probability), jnp.asarray(_kernels())[1 + row], _kernels()[0])
    side = max(BLURS) // 2
    for axis in (2, 3):
        around = [(0, 0)] * 5
        around[axis] = (side, side)
        padded = jnp.pad(video, around, mode="reflect")
        parts = [jax.lax.slice_in_dim(padded, tap, tap + video.shape[axis], axis=axis) for tap in range(2 * side + 1)]
        weights = kernel[:, :, None, None, None, None]
        video = sum((part * weights[:, tap] for tap, part in enumerate(parts)), jnp.float32(0))
    return video


def darken(
    key: PRNGKeyArray, video: Float[Array, "b f h w c"], low: float, high: float, probability: float
) -> Float[Array, "b f h w c"]:
    """Multiply each clip, with `probability`, by a factor from `low` to `high`."""
    factor, here = jax.random.split(key)
    factors = jax.random.uniform(factor, (len(video), 1), minval=low, maxval=high)
    return video * jnp.where(_chance(here, video, probability), factors, 1)[..., None, None, None]


def add_noise(
    key: PRNGKeyArray, video: Float[Array, "b f h w c"], highest: float, probability: float
) -> Float[Array, "b f h w c"]:
    """Add, with `probability`, Gaussian noise of a deviation from 0 to `highest`, the same to all frames of a clip."""
    pattern, size, here = jax.random.split(key, 3)
    deviation = jax.random.uniform(size, (len(video), 1), maxval=highest)
    deviation = jnp.where(_chance(here, video, probability), deviation, 0)[..., None, None, None]
    return video + deviation * jax.random.normal(pattern, (len(video), 1, *video.shape[2:]))


def _chance(key: PRNGKeyArray, video: Float[Array, "b f h w c"], probability: float) -> Array:
    return jax.random.bernoulli(key, probability, (len(video), 1))


def _kernels() -> Float[np.ndarray, "k taps"]:
    """Return what leaves a picture as it is, and a Gaussian of each size, all as long as the longest."""
    place = np.arange(max(BLURS)) - max(BLURS) // 2
    rows = [(place == 0).astype(float)]
    for size in BLURS:
        deviation = 0.3 * ((size - 1) / 2 - 1) + 0.8
        weights = np.exp(-0.5 * (place / deviation) ** 2) * (abs(place) <= size // 2)
        rows.append(weights / weights.sum())
    return np.array(rows, np.float32)
