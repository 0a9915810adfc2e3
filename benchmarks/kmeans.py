"""K-means beside scikit-learn: the same settings on the same frames, time and inertia.

    python benchmarks/kmeans.py [--frames FILE.npy | --count 200000 --width 768] [--clusters 50 500 --rounds 3]

Both cluster by mini-batches (k-means++ starts, batches of 10,000 frames, an end after 100 steps without improvement).
The time of a step is a fit's time over its steps, starts included; then all frames are assigned to one side's
centroids. The inertia is the mean squared distance of all frames, computed by one function for both sides. Without
--frames, frames are drawn around centroids that last a few frames, as sounds do.
"""

from pathlib import Path
from typing import Any

import harness
import numpy as np

from serjax import cli
from serjax.features.config import ClusterConfig
from serjax.features.kmeans import assign, fit_minibatch, inertia
from serjax.runtime.allocator import keep_memory

PEER = "scikit-learn"


def drawn(count: int, width: int) -> np.ndarray:
    """Return frames around 1000 centroids, each of which lasts a few frames."""
    rng = np.random.default_rng(0)
    centroids = rng.normal(0, 1, (1000, width)).astype(np.float32)
    order = np.repeat(rng.integers(0, len(centroids), count // 4 + 1), 4)[:count]
    return centroids[order] + rng.normal(0, 0.7, (count, width)).astype(np.float32)


def scikit_learn(frames: np.ndarray, config: ClusterConfig) -> tuple[np.ndarray, int]:
    """Return centroids and steps."""
    from sklearn.cluster import MiniBatchKMeans

    model = MiniBatchKMeans(
        config.clusters,
        init="k-means++",
        max_iter=config.passes,
        batch_size=config.batch_size,
        tol=config.tolerance,
        n_init=config.starts,
        max_no_improvement=config.patience,
        reassignment_ratio=config.reassign,
        random_state=config.seed,
        compute_labels=False,
    ).fit(frames)
    return model.cluster_centers_, model.n_steps_


def predictor(frames: np.ndarray, centroids: np.ndarray) -> harness.Call:
    """Return scikit-learn's assignment to centroids."""
    from sklearn.cluster import MiniBatchKMeans

    model = MiniBatchKMeans(len(centroids), init=centroids, n_init=1, max_iter=1).fit(frames[: 2 * len(centroids)])
    model.cluster_centers_ = centroids.astype(frames.dtype)
    return lambda: model.predict(frames)


def ours(frames: np.ndarray, config: ClusterConfig) -> tuple[np.ndarray, int]:
    """Return centroids and steps; the pass that tells the inertia is part of it."""
    found = fit_minibatch(frames, config)
    return found.centroids, found.steps


def measure(frames: np.ndarray, config: ClusterConfig, names: list[str], options: Any) -> harness.Values:
    """Return seconds of a step, seconds of an assignment, and the inertia."""
    fits = {"serjax": ours, PEER: scikit_learn}
    found = {"serjax": ours(frames, config)}  # compiles

    def step(name: str) -> float:
        seconds = harness.clock(lambda: found.update({name: fits[name](frames, config)}), again=False)
        return seconds / found[name][1]

    title = f"{config.clusters} clusters, "
    fitted = harness.in_turns(
        {f"{title}a step": {name: lambda name=name: step(name) for name in names}}, options.rounds
    )
    centroids = found[names[-1]][0]
    calls = {"serjax": lambda: assign(frames, centroids)}
    if PEER in names:
        calls[PEER] = predictor(frames, centroids)
    turns = {name: lambda name=name: harness.clock(calls[name], options.turn) for name in names}
    assigned = harness.in_turns({f"{title}assigning all frames": turns}, options.rounds)
    losses = {f"{title}inertia": {name: [inertia(frames, found[name][0])] for name in names}}
    return fitted | assigned | losses


def main() -> None:
    """Measure and publish."""
    parser = harness.parser(__doc__, rounds=3, turn=0)
    parser.add_argument("--frames", type=Path, help="frames [n, d] as .npy")
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--clusters", type=int, nargs="+", default=[50, 500])
    parser.add_argument("--batch-size", type=int, default=10_000)
    parser.add_argument("--starts", type=int, default=20)
    options = parser.parse_args()
    keep_memory()
    cli.compilation_cache()
    frames = np.load(options.frames, mmap_mode="r") if options.frames else drawn(options.count, options.width)
    names, told = harness.installed({"serjax": [], PEER: ["sklearn"]})
    values: harness.Values = {}
    for clusters in options.clusters:
        config = ClusterConfig(clusters=clusters, batch_size=options.batch_size, starts=options.starts)
        values |= measure(frames, config, names, options)
    units = {case: "" for case in values if case.endswith("inertia")}
    size = f"{len(frames):,} frames of {frames.shape[1]} values."
    harness.publish([size, harness.comparison(values, units=units), *told], options, ["sklearn"])


if __name__ == "__main__":
    main()
