"""K-means beside scikit-learn: the same settings on the same frames, frames a second and inertia.

    python benchmarks/kmeans.py [--frames FILE.npy | --count 200000 --width 768] [--clusters 50 500 --rounds 3]

Both cluster by mini-batches (k-means++ starts, batches of 10,000 frames, an end after 100 steps without improvement);
the sides take turns, and medians over the rounds are shown. A side's frames a second are those of its steps over the
whole time, starts included. Then frames are assigned to centroids. The inertia is the mean squared distance of all
frames, computed by one function for both sides. Without --frames, frames are drawn around centroids that last a few
frames, as sounds do. The first call of a shape compiles, and does not count. Needs nothing but serjax.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import jax
import numpy as np
from sklearn.cluster import MiniBatchKMeans

from serjax import cli
from serjax.features.kmeans import ClusterConfig, assign, fit_minibatch, inertia
from serjax.runtime.allocator import keep_memory


def drawn(count: int, width: int) -> np.ndarray:
    """Return frames around 1000 centroids, each of which lasts a few frames."""
    rng = np.random.default_rng(0)
    centroids = rng.normal(0, 1, (1000, width)).astype(np.float32)
    order = np.repeat(rng.integers(0, len(centroids), count // 4 + 1), 4)[:count]
    return centroids[order] + rng.normal(0, 0.7, (count, width)).astype(np.float32)


def scikit_learn(frames: np.ndarray, config: ClusterConfig) -> tuple[np.ndarray, int]:
    """Return centroids and steps."""
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


def serjax_(frames: np.ndarray, config: ClusterConfig) -> tuple[np.ndarray, int]:
    """Return centroids and steps; the pass that tells the inertia is part of it."""
    found = fit_minibatch(frames, config)
    return found.centroids, found.steps


def timed(call: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    began = time.perf_counter()
    found = call(*arguments)
    return time.perf_counter() - began, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=Path, help="frames [n, d] as .npy")
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--clusters", type=int, nargs="+", default=[50, 500])
    parser.add_argument("--batch-size", type=int, default=10_000)
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    keep_memory()
    cli.compilation_cache()
    frames = np.load(options.frames, mmap_mode="r") if options.frames else drawn(options.count, options.width)
    print(f"On {jax.devices()[0].device_kind}: {len(frames)} frames of {frames.shape[1]} values.\n")
    print("| clusters | | serjax / scikit-learn | serjax | scikit-learn |\n|---:|---|---:|---:|---:|")
    for clusters in options.clusters:
        config = ClusterConfig(clusters=clusters, batch_size=options.batch_size, starts=options.starts)
        sides = {"serjax": serjax_, "scikit-learn": scikit_learn}
        found = {"serjax": serjax_(frames, config)}
        times: dict[str, list[float]] = {name: [] for name in sides}
        assigned: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(options.rounds):
            for name, side in sides.items():
                seconds, found[name] = timed(side, frames, config)
                times[name].append(seconds)
        centroids = found["scikit-learn"][0]
        model = MiniBatchKMeans(clusters, init=centroids, n_init=1, max_iter=1).fit(frames[: 2 * clusters])
        model.cluster_centers_ = centroids.astype(frames.dtype)
        for _ in range(options.rounds):
            assigned["serjax"].append(timed(assign, frames, centroids)[0])
            assigned["scikit-learn"].append(timed(model.predict, frames)[0])
        rates = {name: config.batch_size * found[name][1] / median(times[name]) for name in sides}
        given = {name: len(frames) / median(assigned[name]) for name in sides}
        losses = {name: inertia(frames, found[name][0]) for name in sides}
        rows = {"fitting, frames/s": rates, "assigning, frames/s": given, "inertia": losses}
        for title, values in rows.items():
            ours, theirs = values["serjax"], values["scikit-learn"]
            print(f"| {clusters} | {title} | **{ours / theirs:.3f}** | {ours:.5g} | {theirs:.5g} |")
        steps = {name: found[name][1] for name in sides}
        print(f"| {clusters} | steps | | {steps['serjax']} | {steps['scikit-learn']} |", flush=True)


if __name__ == "__main__":
    main()
