"""Lloyd's k-means over all frames, in chunks, from several starts at once."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from serjax.parallel import sharding
from serjax.training.frame_source import Frames, FrameSource
from serjax.training.kmeans import CHUNK, Clusters, nearest, totals

Sums = tuple[Float[Array, "s k d"], Float[Array, "s k"], Float[Array, "s"]]
"""Of each start: sum and number of each cluster's frames, and of the squared distances."""


def lloyd(
    frames: Frames,
    starts: Float[np.ndarray, "s k d"],
    *,
    passes: int = 300,
    tolerance: float = 1e-4,
    chunk: int = CHUNK,
    mesh: Mesh | None = None,
) -> Clusters:
    """Improve several sets of centres until none gains, and return the best.

    A centre that no frame is nearest to moves to the frame that lies furthest from its own, as in scikit-learn.

    Args:
        frames: An array, a memory-mapped file, or rows of one.
        starts: First centres, such as `plus_plus` draws.
        passes: Passes over the frames, at most.
        tolerance: Stop when a pass lowers no start's inertia by more than this share.
        chunk: Frames that are compared with all centres at once.
        mesh: Devices; chunks are spread over its data axis. By default all there are.

    Raises:
        UserError: a frame that is not finite.
    """
    source = FrameSource(frames, mesh)
    everywhere = sharding(source.mesh)
    centres = jax.device_put(np.asarray(starts, np.float32), everywhere)
    add = jax.jit(_add, out_shardings=everywhere)
    last = np.full(len(centres), np.inf)
    made = 0
    while True:
        sums: Sums = jax.device_put(_nothing(centres), everywhere)
        for count, part in source.chunks(chunk):
            # Waiting here bounds how many chunks are in memory.
            sums = add(jax.block_until_ready(sums), part, centres, count)
        square = np.asarray(sums[2], np.float64)
        if not np.isfinite(square).all():
            source.refuse_bad()
        # The inertia is that of the centres before this pass moves them, so they are returned with it.
        if made == passes or not (square < (1 - tolerance) * last).any():
            best = int(square.argmin())
            return Clusters(np.asarray(centres[best]), float(square[best] / len(source)), made)
        last, made = square, made + 1
        centres = _move(centres, sums)
        empty = np.asarray(sums[1]) == 0
        for start in np.flatnonzero(empty.any(axis=1)).tolist():
            gone = np.flatnonzero(empty[start])
            far = _furthest(source, centres[start], len(gone), chunk)
            centres = centres.at[start, gone].set(np.asarray(frames[far], np.float32))


def _nothing(centres: Float[Array, "s k d"]) -> Sums:
    return jnp.zeros_like(centres), jnp.zeros(centres.shape[:2]), jnp.zeros(len(centres))


def _add(sums: Sums, frames: Float[Array, "c d"], centres: Float[Array, "s k d"], count: Int[Array, ""]) -> Sums:
    """Add a chunk, of which the first `count` frames count, to the sums of every start."""
    within = jnp.arange(len(frames)) < count

    def one(centres: Float[Array, "k d"]) -> tuple[Array, Array, Array]:
        label, square = nearest(frames, centres)
        label = jnp.where(within, label, len(centres))
        return *totals(frames, label, len(centres)), jnp.sum(jnp.where(within, square, 0))

    return jax.tree.map(jnp.add, sums, jax.vmap(one)(centres))


@jax.jit
def _move(centres: Float[Array, "s k d"], sums: Sums) -> Float[Array, "s k d"]:
    total, count, _ = sums
    return jnp.where(count[:, :, None] > 0, total / jnp.maximum(count, 1)[:, :, None], centres)


def _furthest(source: FrameSource, centres: Float[Array, "k d"], count: int, chunk: int) -> Int[np.ndarray, "e"]:
    """Return the frames that lie furthest from their centres."""
    call = jax.jit(lambda part, centres: nearest(part, centres)[1])
    square = np.concatenate([np.asarray(call(part, centres))[:n] for n, part in source.chunks(chunk)])
    return np.argsort(square)[-count:]
