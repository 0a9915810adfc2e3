"""Mixup: clips and their labels mixed with one another's."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray


class Pairs(NamedTuple):
    """Which rows `mix` mixes, and how.

    Attributes:
        weight: Float32 [b], share of the row itself, from 0 to 1.
        partner: Int32 [b], row that is mixed in.
    """

    weight: Float[Array, "b"]
    partner: Int[Array, "b"]

    def longer(self, lengths: Int[Array, "b"]) -> Int[Array, "b"]:
        """Return how long mixed rows are, from how long rows were."""
        return jnp.maximum(lengths, lengths[self.partner])


def draw_pairs(key: PRNGKeyArray, rows: int, alpha: float = 0.2) -> Pairs:
    """Pair each row with one of a random permutation of the batch, by a weight from Beta(alpha, alpha).

    Source: Zhang et al., mixup: Beyond Empirical Risk Minimization, 2018; here every pair draws its own weight.
    """
    order, draw = jax.random.split(key)
    return Pairs(jax.random.beta(draw, alpha, alpha, (rows,)), jax.random.permutation(order, rows))


def mix(x: Float[Array, "b *d"], pairs: Pairs) -> Float[Array, "b *d"]:
    """Return every row mixed with its partner: waves, features, and targets alike."""
    weight = pairs.weight.reshape(-1, *[1] * (x.ndim - 1)).astype(x.dtype)
    return weight * x + (1 - weight) * x[pairs.partner]
