"""SpecAugment masks: spans of frames or features that training hides, drawn where the model runs."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray


def length_mask(lengths: Int[Array, "b"], size: int) -> Bool[Array, "b n"]:
    """Return True where a position lies within its row's length."""
    return jnp.arange(size) < lengths[:, None]


def span_count(
    lengths: Int[Array, "b"], size: int, probability: float, span: int, minimum: int, uniform: Float[Array, ""] | float
) -> Int[Array, "b"]:
    """Return how many spans each row gets, by transformers' `_compute_mask_indices`.

    floor(probability * length / span + uniform), at least `minimum`, at most what fits.

    Args:
        lengths: True length of each row.
        size: Padded length of all rows.
        probability: Share of positions to mask, if spans did not overlap.
        span: Length of a span.
        minimum: Lower bound of the count.
        uniform: One number in [0, 1) for the whole batch, which rounds up or down by chance.
    """
    count = jnp.floor(probability * lengths / span + uniform).astype(int)
    count = jnp.minimum(jnp.maximum(count, minimum), size // span)
    return jnp.clip(count, 0, jnp.maximum(lengths - (span - 1), 0))


def span_mask(
    key: PRNGKeyArray, lengths: Int[Array, "b"], size: int, probability: float, span: int, minimum: int
) -> Bool[Array, "b n"]:
    """Draw spans to mask: starts without replacement, spans may overlap, none reaches beyond its row's length.

    Args:
        key: Random key.
        lengths: True length of each row.
        size: Padded length of all rows.
        probability: Share of positions to mask, if spans did not overlap.
        span: Length of a span; a row shorter than this gets none.
        minimum: Least number of spans of a row in which they fit.
    """
    rounding, starts = jax.random.split(key)
    count = span_count(lengths, size, probability, span, minimum, jax.random.uniform(rounding))
    # The `count` smallest of random scores over the possible starts are a draw without replacement.
    score = jax.random.uniform(starts, (lengths.shape[0], size))
    score = jnp.where(length_mask(lengths - (span - 1), size), score, 2.0)
    rank = jnp.argsort(jnp.argsort(score, axis=1), axis=1)
    begins = (rank < count[:, None]).astype(int)
    begun = jnp.cumsum(begins, axis=1)
    ended = jnp.pad(begun, ((0, 0), (span, 0)))[:, :size]
    return begun > ended
