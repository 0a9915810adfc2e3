"""k-means++: first centroids that lie far apart (Arthur and Vassilvitskii, 2007), for several starts at once."""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key


@partial(jax.jit, static_argnames=("starts", "clusters"))
def plus_plus(key: Key[Array, ""], frames: Float[Array, "m d"], starts: int, clusters: int) -> Float[Array, "s k d"]:
    """Draw the first centroids of several starts among the same frames.

    The greedy form, as in scikit-learn: of 2 + ln k candidates, each drawn with a probability in proportion to its
    squared distance from the nearest centroid so far, the one that brings all frames nearest is taken. The candidates
    of all starts go through one matrix product, which reads the frames once.

    Args:
        key: Random key.
        frames: At least as many as clusters.
        starts: Number of starts.
        clusters: Centroids of a start.
    """
    trials, count = 2 + int(math.log(clusters)), len(frames)
    centred = frames - jnp.mean(frames, axis=0)
    norms = jnp.sum(jnp.square(centred), axis=1)
    each = jnp.arange(starts)

    def squares(chosen: Int[Array, "s l"]) -> Float[Array, "s l m"]:
        product = jnp.einsum("sld,md->slm", centred[chosen], centred, precision="highest")
        return jnp.maximum(norms + norms[chosen][:, :, None] - 2 * product, 0)

    def draw(key: Key[Array, ""], nearest: Float[Array, "m"]) -> Int[Array, "l"]:
        reached = jnp.cumsum(nearest)
        bound = jax.random.uniform(key, (trials,)) * reached[-1]
        return jnp.minimum(jnp.searchsorted(reached, bound, side="right"), count - 1)

    def add(number: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        chosen, nearest = carry
        candidates = jax.vmap(draw)(jax.random.split(jax.random.fold_in(key, number), starts), nearest)
        reached = jnp.minimum(nearest[:, None], squares(candidates))
        best = jnp.argmin(jnp.sum(reached, axis=2), axis=1)
        return chosen.at[:, number].set(candidates[each, best]), reached[each, best]

    first = jax.random.randint(key, (starts,), 0, count)
    chosen = jnp.zeros((starts, clusters), jnp.int32).at[:, 0].set(first)
    chosen, _ = jax.lax.fori_loop(1, clusters, add, (chosen, squares(first[:, None])[:, 0]))
    return frames[chosen]
