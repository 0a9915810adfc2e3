"""Batch normalisation that counts real positions alone, with momentum and epsilon as PyTorch defines them."""

import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from serjax.models.layers.masking import length_mask


class BatchNorm(nnx.BatchNorm):
    """Brings each channel to zero mean and unit variance (Ioffe and Szegedy, 2015), times scale plus bias.

    It is stored as PyTorch's BatchNorm1d and BatchNorm2d are. Training writes the running statistics into the module,
    from where the caller takes them with `nnx.state(model, nnx.BatchStat)`.
    """

    def __init__(self, features: int, *, momentum: float = 0.1, epsilon: float = 1e-5, rngs: nnx.Rngs):
        super().__init__(features, momentum=1 - momentum, epsilon=epsilon, rngs=rngs)

    def __call__(  # type: ignore[override]
        self, x: Float[Array, "b *positions c"], mask: Bool[Array, "..."] | None = None
    ) -> Float[Array, "b *positions c"]:
        """Return x normalised, in its dtype; statistics are computed and kept in float32.

        Args:
            x: Values, channels last.
            mask: None normalises with the running statistics. Else the batch is normalised with its own mean and biased
                variance over the positions that are True, [b, *positions] or broadcastable to it, and the running
                statistics move towards its mean and unbiased variance; without a True position they stay.
        """
        assert self.scale is not None
        assert self.bias is not None
        if mask is None:
            mean, variance = self.mean[...].astype(jnp.float32), self.var[...].astype(jnp.float32)
        else:
            mean, variance, count = _moments(x, mask)
            step = jnp.where(count > 0, 1 - self.momentum, 0)
            unbiased = variance * (count / jnp.maximum(count - 1, 1))
            for kept, new in ((self.mean, mean), (self.var, unbiased)):
                kept.set_value((kept[...] + step * lax.stop_gradient(new - kept[...])).astype(kept.dtype))
        factor = self.scale[...] * lax.rsqrt(variance + self.epsilon)
        return (x * factor + (self.bias[...] - mean * factor)).astype(x.dtype)


def _moments(
    x: Float[Array, "b *positions c"], mask: Bool[Array, "..."]
) -> tuple[Float[Array, "c"], Float[Array, "c"], Float[Array, ""]]:
    """Return mean, biased variance and the number of positions where the mask is True."""
    within = jnp.broadcast_to(mask, x.shape[:-1])[..., None]
    axes = tuple(range(x.ndim - 1))
    count = jnp.sum(within, dtype=jnp.float32)
    share = 1 / jnp.maximum(count, 1)
    x = x.astype(jnp.float32)
    mean = jnp.sum(jnp.where(within, x, 0), axis=axes) * share
    variance = jnp.sum(jnp.where(within, jnp.square(x - mean), 0), axis=axes) * share
    return mean, variance, count


def real_columns(
    image: Float[Array, "b h w c"], frames: Int[Array, "b"] | None, weight: Float[Array, "b"] | None
) -> Int[Array, "b"]:
    """Return how many columns of each image belong to a real clip.

    Args:
        image: Spectrograms whose width is time.
        frames: True spectrogram frames of each clip; None: all.
        weight: 0 for rows that only fill up a batch; None: there are none.
    """
    columns = jnp.full(len(image), image.shape[2]) if frames is None else frames
    return columns if weight is None else jnp.where(weight > 0, columns, 0)


def column_mask(x: Float[Array, "b h w c"], columns: Int[Array, "b"] | None) -> Bool[Array, "b 1 w"] | None:
    """Return the mask for `BatchNorm` that is True in the first `columns` columns of each map; None for None."""
    return None if columns is None else length_mask(columns, x.shape[2])[:, None]


def strided(columns: Int[Array, "b"] | None, stride: int) -> Int[Array, "b"] | None:
    """Return how many columns are real after a stride: column j is where column j * stride was; None for None."""
    return None if columns is None else -(-columns // stride)
