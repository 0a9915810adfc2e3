"""Attention over values."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from serjax.models.layers.activations import dropout
from serjax.models.layers.matmul import product


def mix(
    scores: Float[Array, "b h q k"],
    values: Float[Array, "b h k e"],
    mask: Bool[Array, "b k"],
    rate: float,
    key: PRNGKeyArray | None,
) -> tuple[Float[Array, "b h q e"], Float[Array, "b h q k"]]:
    """Return mixtures of the values where mask is True, by softmax of the scores, and the shares (dropped out) in them.

    A row whose mask has no True mixes all values evenly.

    Args:
        scores: In float32.
        values: Of the dtype that the mixtures are to have.
        mask: True where there is something to look at.
        rate: Of the dropout of shares.
        key: Random key for it; None for no dropout.
    """
    # A finite stand-in for minus infinity: a row without any true frame must not become NaN.
    scores = jnp.where(mask[:, None, None], scores, jnp.finfo(jnp.float32).min)
    shares = jnp.exp(scores - jax.lax.stop_gradient(jnp.max(scores, axis=-1, keepdims=True)))
    total = jnp.sum(shares, axis=-1, keepdims=True)
    kept = dropout(shares, rate, key)
    # Softmax divides what comes out, which is less than what goes in.
    mixed = product("bhqk,bhke->bhqe", kept.astype(values.dtype), values) / total
    return mixed.astype(values.dtype), kept / total
