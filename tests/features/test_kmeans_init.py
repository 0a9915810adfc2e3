"""k-means++: first centroids of several starts."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from serjax.features.kmeans import inertia
from serjax.features.kmeans_init import plus_plus


@cache
def blobs(count=6000, width=8, centroids=12, spread=1.0, seed=0):
    """Return frames around centroids that lie far from zero, as hidden states do."""
    rng = np.random.default_rng(seed)
    middle = rng.normal(20, 3, (centroids, width))
    return (middle[rng.integers(0, centroids, count)] + spread * rng.normal(size=(count, width))).astype(np.float32)


def test_plus_plus_spreads_centroids_better_than_random_draws():
    frames = jnp.asarray(blobs(spread=0.2))
    one = [inertia(blobs(spread=0.2), np.asarray(plus_plus(jax.random.key(s), frames, 1, 12)[0])) for s in range(5)]
    many = plus_plus(jax.random.key(0), frames, 8, 12)
    assert many.shape == (8, 12, 8)
    assert len({tuple(np.asarray(start).ravel().tolist()) for start in many}) == 8
    # Centroids drawn evenly leave some blob without one nearly always.
    drawn = np.random.default_rng(0).choice(6000, (20, 12))
    evenly = [inertia(blobs(spread=0.2), blobs(spread=0.2)[rows]) for rows in drawn]
    assert np.mean(one) < 0.5 * np.mean(evenly)


def test_plus_plus_draws_distinct_centroids():
    frames = np.repeat(np.arange(6.0, dtype=np.float32), 30)[:, None]
    starts = np.asarray(plus_plus(jax.random.key(0), jnp.asarray(frames), 5, 6))
    np.testing.assert_array_equal(np.sort(starts[..., 0], axis=1), np.tile(np.arange(6.0), (5, 1)))
