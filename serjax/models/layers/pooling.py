"""From frames to one vector a clip; frames beyond a clip's end count for nothing."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from serjax.models.layers.masking import length_mask


def masked_mean(x: Float[Array, "b n d"], frames: Int[Array, "b"]) -> Float[Array, "b d"]:
    """Return the mean over true frames; zero for a clip without any. Computed in float32, returned in x's dtype."""
    return _moments(x, frames)[0].astype(x.dtype)


def masked_mean_and_deviation(x: Float[Array, "b n d"], frames: Int[Array, "b"]) -> Float[Array, "b 2*d"]:
    """Return the mean and the population standard deviation (divided by n) over true frames, side by side.

    Where a feature does not vary, as in a clip of one frame, the deviation is 1e-5 and its gradient zero.
    """
    average, variance = _moments(x, frames)
    deviation = jnp.sqrt(jnp.maximum(variance, 1e-10))
    return jnp.concatenate([average, deviation], axis=-1).astype(x.dtype)


def _moments(x: Float[Array, "b n d"], frames: Int[Array, "b"]) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
    within = length_mask(frames, x.shape[1])[:, :, None]
    count = jnp.maximum(frames, 1)[:, None]
    # Selected, not multiplied: whatever stands in the padding, infinity too, must not reach the sum.
    x = jnp.where(within, x.astype(jnp.float32), 0)
    average = jnp.sum(x, axis=1) / count
    variance = jnp.sum(jnp.where(within, jnp.square(x - average[:, None]), 0), axis=1) / count
    return average, variance


class AttentivePooling(nnx.Module):
    """Mean of the frames, weighted by softmax over time of Linear(tanh(Linear(x)))."""

    def __init__(self, features: int, size: int, *, rngs: nnx.Rngs):
        self.hidden = nnx.Linear(features, size, rngs=rngs)
        self.score = nnx.Linear(size, 1, rngs=rngs)

    def weights(self, x: Float[Array, "b n d"], frames: Int[Array, "b"]) -> Float[Array, "b n"]:
        """Return each frame's share in float32: 0 beyond the clip, 1 in sum."""
        return _shares(self.score(jnp.tanh(self.hidden(x))), frames)

    def __call__(self, x: Float[Array, "b n d"], frames: Int[Array, "b"]) -> Float[Array, "b d"]:
        """Return the weighted mean."""
        return _weighted_mean(x, frames, self.weights(x, frames))


class AttentiveStatistics(AttentivePooling):
    """Mean and standard deviation of the frames, side by side, both with the weights of `AttentivePooling`.

    After Okabe et al. (Interspeech 2018), eqs. 2 to 6, with one score a frame.
    """

    def __call__(self, x: Float[Array, "b n d"], frames: Int[Array, "b"]) -> Float[Array, "b 2*d"]:
        """Return the weighted mean and deviation; the latter is at least 1e-5."""
        weights = self.weights(x, frames)
        mean = _weighted_mean(x.astype(jnp.float32), frames, weights)
        variance = _weighted_mean(jnp.square(x.astype(jnp.float32) - mean[:, None]), frames, weights)
        return jnp.concatenate([mean, jnp.sqrt(jnp.maximum(variance, 1e-10))], -1).astype(x.dtype)


class TanhAttention(nnx.Module):
    """Mean of the frames, weighted by softmax over time of tanh(x . w): no frame counts over e^2 times another.

    After the fine-tuning of Li et al. (ICASSP 2024), whose w starts uniform from 0 to 1.
    """

    def __init__(self, features: int, *, rngs: nnx.Rngs):
        uniform = nnx.initializers.uniform(1.0)
        self.score = nnx.Linear(features, 1, use_bias=False, kernel_init=uniform, rngs=rngs)

    def weights(self, x: Float[Array, "b n d"], frames: Int[Array, "b"]) -> Float[Array, "b n"]:
        """Return each frame's share in float32: 0 beyond the clip, 1 in sum."""
        return _shares(jnp.tanh(self.score(x)), frames)

    def __call__(self, x: Float[Array, "b n d"], frames: Int[Array, "b"]) -> Float[Array, "b d"]:
        """Return the weighted mean."""
        return _weighted_mean(x, frames, self.weights(x, frames))


def _shares(score: Float[Array, "b n 1"], frames: Int[Array, "b"]) -> Float[Array, "b n"]:
    score = score[:, :, 0].astype(jnp.float32)
    score = jnp.where(length_mask(frames, score.shape[1]), score, jnp.finfo(jnp.float32).min)
    return jax.nn.softmax(score, axis=1)


def _weighted_mean(
    x: Float[Array, "b n d"], frames: Int[Array, "b"], weights: Float[Array, "b n"]
) -> Float[Array, "b d"]:
    within = length_mask(frames, x.shape[1])[:, :, None]
    return jnp.einsum("bn,bnd->bd", weights, jnp.where(within, x, 0).astype(jnp.float32)).astype(x.dtype)
