"""Bringing values to zero mean and unit variance."""

import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float, Int

from serjax.models.layers.masking import length_mask


class Standardizer(nnx.Module):
    """Brings each feature to zero mean and unit deviation over a fold's training clips, which the fold sets."""

    def __init__(self, features: int):
        self.mean = nnx.BatchStat(jnp.zeros(features))
        self.deviation = nnx.BatchStat(jnp.ones(features))

    def __call__(self, x: Float[Array, "... d"]) -> Float[Array, "... d"]:
        """Return (x - mean) / deviation, without a gradient into either."""
        mean, deviation = lax.stop_gradient((self.mean[...], self.deviation[...]))
        return ((x - mean) / jnp.maximum(deviation, 1e-5)).astype(x.dtype)


def unit_variance(wave: Float[Array, "b t"], lengths: Int[Array, "b"], epsilon: float = 1e-7) -> Float[Array, "b t"]:
    """Return (x - mean) / sqrt(variance + epsilon) of each clip over its true samples; padding becomes 0.

    With 1e-7 that is what transformers' Wav2Vec2FeatureExtractor does with `do_normalize`; with 1e-5
    `torch.nn.functional.layer_norm` over a clip. Computed in float32.
    """
    within = length_mask(lengths, wave.shape[1])
    count = jnp.maximum(lengths, 1)[:, None]
    x = jnp.where(within, wave.astype(jnp.float32), 0)
    x = jnp.where(within, x - jnp.sum(x, axis=1, keepdims=True) / count, 0)
    variance = jnp.sum(jnp.square(x), axis=1, keepdims=True) / count
    return (x * lax.rsqrt(variance + epsilon)).astype(wave.dtype)


def clip_norm(states: Float[Array, "b l n d"], frames: Int[Array, "b"]) -> Float[Array, "b l n d"]:
    """Return (x - mean) / sqrt(variance + 1e-5) of each clip and layer, over true frames and features; padding is 0.

    That is `torch.nn.functional.layer_norm` over the last two axes of one clip. Computed in float32.
    """
    within = length_mask(frames, states.shape[2])[:, None, :, None]
    count = (jnp.maximum(frames, 1) * states.shape[3])[:, None, None, None]
    x = jnp.where(within, states.astype(jnp.float32), 0)
    x = jnp.where(within, x - jnp.sum(x, axis=(2, 3), keepdims=True) / count, 0)
    variance = jnp.sum(jnp.square(x), axis=(2, 3), keepdims=True) / count
    return (x * lax.rsqrt(variance + 1e-5)).astype(states.dtype)
