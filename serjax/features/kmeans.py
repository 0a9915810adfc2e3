"""K-means on the devices: mini-batches as in scikit-learn's MiniBatchKMeans, and the nearest centroid of frames.

Distances come from a matrix product, of a chunk of frames at a time: no table of all frames by all centroids is ever
made.
"""

from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Float32, Int, Integer, Key

from serjax.features.config import ClusterConfig
from serjax.features.frame_source import Frames, FrameSource
from serjax.features.kmeans_init import plus_plus
from serjax.runtime.errors import UserError
from serjax.runtime.mesh import sharding
from serjax.runtime.platform import target_platform

CHUNK = 16_384
"""Frames that are compared with all centroids at once."""


class Clusters(NamedTuple):
    """Result of clustering.

    Attributes:
        centroids: Float32 [k d].
        inertia: Mean squared distance of a frame from its centroid, over all frames.
        steps: Mini-batches, or passes over all frames, that were made.
    """

    centroids: Float32[np.ndarray, "k d"]
    inertia: float
    steps: int


class _State(NamedTuple):
    """State of mini-batches: centroids, frames seen of each cluster, and the running mean that ends it all."""

    centroids: Float[Array, "k d"]
    seen: Float[Array, "k"]
    since: Int[Array, ""]
    steps: Int[Array, ""]
    mean: Float[Array, ""]
    best: Float[Array, ""]
    stale: Int[Array, ""]
    done: Bool[Array, ""]


def nearest(frames: Float[Array, "b d"], centroids: Float[Array, "k d"]) -> tuple[Int[Array, "b"], Float[Array, "b"]]:
    """Return each frame's nearest centroid and its squared distance; k and NaN for a frame that is not finite."""
    # Seen from the middle of the centroids squares are small, so that their differences keep their digits.
    middle = jnp.mean(centroids, axis=0)
    moved = centroids - middle
    offset = jnp.sum(jnp.square(moved) + 2 * middle * moved, axis=1)
    score = offset - 2 * jnp.einsum("bd,kd->bk", frames, moved, precision="highest")
    least = jnp.min(score, axis=1)
    # Two plain minima: XLA's argmin takes several times as long on a CPU.
    label = jnp.min(jnp.where(score == least[:, None], jnp.arange(len(centroids)), len(centroids)), axis=1)
    square = jnp.sum(jnp.square(frames - middle), axis=1) + least
    # XLA's maximum on a CPU may take 0 for the larger of NaN and 0.
    return label, jnp.where(square < 0, 0, square)


def totals(
    frames: Float[Array, "b d"], label: Int[Array, "b"], clusters: int
) -> tuple[Float[Array, "k d"], Float[Array, "k"]]:
    """Return the sum and the number of the frames of each cluster; labels of `clusters` and above count nowhere."""
    if target_platform() == "cpu":
        both = jax.ops.segment_sum(jnp.pad(frames, ((0, 0), (0, 1)), constant_values=1), label, clusters)
        return both[:, :-1], both[:, -1]
    # Sums in an accelerator's memory would come in any order, and the same seed to other centroids.
    member = (label[:, None] == jnp.arange(clusters)).astype(frames.dtype)
    return jnp.einsum("bk,bd->kd", member, frames, precision="highest"), jnp.sum(member, axis=0)


def fit_minibatch(frames: Frames, config: ClusterConfig | None = None, mesh: Mesh | None = None) -> Clusters:
    """Cluster frames by mini-batches (Sculley, 2010), with scikit-learn's starts, steps and end.

    Three batches' worth of frames are drawn for the starts and as many to compare them; the best start goes on. Each
    step draws a batch and moves every centroid to the mean of all frames that were ever nearest to it.

    Args:
        frames: An array, a memory-mapped file, or rows of one.
        config: Settings.
        mesh: Devices; batches are spread over its data axis. By default all of this process.

    Raises:
        UserError: fewer frames than clusters, or a frame that is not finite.
    """
    config = config or ClusterConfig()
    source = FrameSource(frames, mesh)
    count, clusters = len(source), config.clusters
    if count < clusters:
        raise UserError(
            f"There are {count} frames for {clusters} clusters; give more recordings, or ask for fewer clusters."
        )
    size = source.whole(min(config.batch_size, count))
    rng, key = np.random.default_rng([config.seed, 0]), jax.random.key(config.seed)
    centroids = best_start(source, config, rng, key)
    state = jax.device_put(_first(centroids), sharding(source.mesh))
    variance = 0.0
    if config.tolerance:
        variance = float(jnp.mean(jnp.var(source.take(_draw(rng, source, size)), axis=0)))
    step = jax.jit(
        partial(_step, config=config, clusters=clusters, share=min(1.0, 2 * size / (count + 1)), variance=variance),
        out_shardings=sharding(source.mesh),
    )
    # What is not finite is noticed a few batches later.
    drawn: deque[np.ndarray] = deque(maxlen=16)

    def rows() -> np.ndarray:
        drawn.append(_draw(rng, source, size))
        return drawn[-1]

    before = [state]
    steps = max(1, config.passes * count // size)
    for batch in source.batches(rows() for _ in range(steps)):
        state = step(state, batch, key)
        before.append(state)
        # Looking at a state of a while ago keeps the devices busy.
        if len(before) > 8 and bool(before.pop(0).done):
            break
    if not np.isfinite(float(state.mean)):
        source.refuse_bad(np.concatenate(drawn))
    found = np.asarray(state.centroids)
    return Clusters(found, inertia(frames, found, source), int(state.steps))


def best_start(
    source: FrameSource, config: ClusterConfig, rng: np.random.Generator, key: Key[Array, ""]
) -> Float[Array, "k d"]:
    """Return the k-means++ start, of `config.starts`, that fits frames best which it was not drawn from."""
    size = 3 * min(config.batch_size, len(source))
    size = source.whole(min(max(size, 3 * config.clusters) if size < config.clusters else size, len(source)))
    sample = np.sort(rng.choice(len(source), min(size, len(source)), replace=False))
    sample = np.concatenate([sample, sample[: size - len(sample)]])
    starts = plus_plus(key, source.take(sample), config.starts, config.clusters)
    control = _draw(rng, source, size)
    found = jax.jit(_mean_squares)(source.take(control), starts)
    if not np.isfinite(np.asarray(found)).all():
        source.refuse_bad(np.concatenate([sample, control]))
    return starts[jnp.argmin(found)]


def assign(frames: Frames, centroids: Float[np.ndarray, "k d"], mesh: Mesh | None = None) -> Integer[np.ndarray, "n"]:
    """Return the nearest centroid of each frame, as uint16 where that is enough.

    Raises:
        UserError: centroids of another width than the frames, or a frame that is not finite.
    """
    source = FrameSource(frames, mesh)
    labels = np.concatenate([label for label, _ in _each(source, centroids)])
    if labels.max() >= len(centroids):
        source.refuse_bad()
    return labels.astype(np.uint16 if len(centroids) <= 2**16 else np.int32)


def inertia(frames: Frames, centroids: Float[np.ndarray, "k d"], source: FrameSource | None = None) -> float:
    """Return the mean squared distance of a frame from the nearest centroid.

    Raises:
        UserError: centroids of another width than the frames, or a frame that is not finite.
    """
    source = source or FrameSource(frames)
    squares = [float(square.sum(dtype=np.float64)) for _, square in _each(source, centroids)]
    if not np.isfinite(squares).all():
        source.refuse_bad()
    return sum(squares) / len(source)


def _each(source: FrameSource, centroids: Float[np.ndarray, "k d"]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield `nearest` of every chunk; a chunk is computed while the next one is read."""
    if source.frames.shape[1] != np.shape(centroids)[1]:
        raise UserError(
            f"Centroids have {np.shape(centroids)[1]} values and frames {source.frames.shape[1]}; take centroids that "
            "were fitted on features of the same layer of the same model."
        )
    placed = jax.device_put(np.asarray(centroids, np.float32), sharding(source.mesh))
    for count, chunk in source.chunks(CHUNK):
        label, square = _nearest(chunk, placed)
        yield np.asarray(label)[:count], np.asarray(square)[:count]


_nearest = jax.jit(nearest)


def _mean_squares(frames: Float[Array, "b d"], starts: Float[Array, "s k d"]) -> Float[Array, "s"]:
    return jax.vmap(lambda centroids: jnp.mean(nearest(frames, centroids)[1]))(starts)


def _draw(rng: np.random.Generator, source: FrameSource, size: int) -> Int[np.ndarray, "b"]:
    # In the file's order, which a disk reads faster.
    return np.sort(rng.integers(0, len(source), size))


def _first(centroids: Float[Array, "k d"]) -> _State:
    zero, none = jnp.zeros((), jnp.int32), jnp.zeros(())
    return _State(centroids, jnp.zeros(len(centroids)), zero, zero, none, none + jnp.inf, zero, jnp.zeros((), bool))


def _step(
    state: _State,
    batch: Float[Array, "b d"],
    key: Key[Array, ""],
    *,
    config: ClusterConfig,
    clusters: int,
    share: float,
    variance: float,
) -> _State:
    """Move the centroids by one batch, unless it is all over."""
    label, square = nearest(batch, state.centroids)
    sums, counts = totals(batch, label, clusters)
    seen = state.seen + counts
    centroids = (state.centroids * state.seen[:, None] + sums) / jnp.maximum(seen, 1)[:, None]
    centroids = jnp.where(seen[:, None] > 0, centroids, state.centroids)
    now = jnp.mean(square)
    # The first batch tells of the start alone; the second begins the running mean.
    mean = jnp.where(state.steps <= 1, now, state.mean * (1 - share) + now * share)
    counted = state.steps >= 1
    better = counted & (mean < state.best)
    stale = jnp.where(better | ~counted, 0, state.stale + 1)
    done = ~jnp.isfinite(now)
    if config.patience is not None:
        done |= stale >= config.patience
    if config.tolerance:
        done |= counted & (jnp.sum(jnp.square(centroids - state.centroids)) <= config.tolerance * variance)
    since = state.since + len(batch)
    if config.reassign:
        due = (seen == 0).any() | (since >= 10 * clusters)
        key = jax.random.fold_in(key, state.steps)
        moved, weights = _restart_light(key, centroids, seen, batch, config.reassign)
        centroids, seen = jnp.where(due, moved, centroids), jnp.where(due, weights, seen)
        since = jnp.where(due, 0, since)
    best = jnp.where(better, mean, state.best)
    new = _State(centroids, seen, since, state.steps + 1, mean, best, stale, done)
    return jax.tree.map(lambda old, new: jnp.where(state.done, old, new), state, new)


def _restart_light(
    key: Key[Array, ""],
    centroids: Float[Array, "k d"],
    seen: Float[Array, "k"],
    batch: Float[Array, "b d"],
    share: float,
) -> tuple[Float[Array, "k d"], Float[Array, "k"]]:
    """Put clusters lighter than `share` of the heaviest, the lightest ones for half a batch, at frames of the batch."""
    rank = jnp.argsort(jnp.argsort(seen))
    light = (seen < share * jnp.max(seen)) & (rank < len(batch) // 2)
    frames = jax.random.permutation(key, batch)[jnp.minimum(rank, len(batch) - 1)]
    least = jnp.min(jnp.where(light, jnp.inf, seen))
    return jnp.where(light[:, None], frames, centroids), jnp.where(light, least, seen)
