"""One training step of K folds: in one vmapped computation, or one fold after the other.

    python benchmarks/folds_together.py [--size tiny --folds 5 --batch 16 --seconds 3 --freeze nothing --rounds 7]

`folds.together: auto` rests on what this prints (docs/results/benchmarks.md). Both sides take turns in one process, on
the devices there are, with the same random weights and noise for clips; memory is the device's peak where it tells.
"""

import argparse
import statistics
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from serjax import cli
from serjax.audio import SAMPLE_RATE
from serjax.config.experiment import Experiment
from serjax.models.config import ModelConfig
from serjax.models.encoders.config import preset
from serjax.models.functional import count
from serjax.models.inputs import Inputs
from serjax.models.speech import Classifier, is_frozen
from serjax.runtime.allocator import keep_memory
from serjax.training.classification import LabelledInputs
from serjax.training.fold_axis import BATCH, FOLD, SHARED, fold_axis
from serjax.training.initialize import initial
from serjax.training.optimizer import rate_factors
from serjax.training.update import TrialConstants, init_state, train_step

CLASSES = 8


def make_step(options: argparse.Namespace, together: bool):
    """Return a function that makes one step and waits for it."""
    model = ModelConfig(
        family=options.family, size=options.size, freeze=options.freeze, dtype=options.dtype, remat=options.remat
    )
    experiment, config = Experiment("bench", model=model), preset(options.family, options.size)
    axis = fold_axis(options.folds, options.batch, together=together)
    keys = jax.random.split(jax.random.key(0), options.folds)
    graphdef, params, frozen = initial(
        lambda rngs: Classifier(model, config, CLASSES, normalize=True, rngs=rngs),
        partial(is_frozen, model=model, encoder=config),
        keys,
        keys[0],
        axis,
        {},
    )
    factors = rate_factors(axis.first(params), ())
    step = axis.jit_step(
        partial(train_step, graphdef=graphdef, experiment=experiment, factors=factors), (FOLD, BATCH, FOLD, SHARED)
    )
    shape, samples = (options.folds, options.batch), round(options.seconds * SAMPLE_RATE)
    wave = np.random.default_rng(0).normal(0, 0.1, (*shape, samples)).astype(np.float32)
    arrays = wave, np.full(shape, samples, np.int32)
    batch = axis.shard(LabelledInputs(Inputs(*arrays), np.zeros(shape, np.int32), np.ones(shape, np.float32)), BATCH)
    ones = jnp.ones(options.folds)
    run = axis.shard(
        TrialConstants(keys, 1000 * ones.astype(jnp.int32), 1e-5 * ones, jnp.ones((options.folds, CLASSES)))
    )
    frozen = axis.replicate(frozen)
    state = axis.jit(init_state, (FOLD,))(params)
    print(f"{count(axis.first(params)):,} trained and {count(frozen):,} frozen weights a fold")

    def once() -> float:
        nonlocal state
        began = time.perf_counter()
        state, metrics = step(np.ones(options.folds, bool), state, batch, run, frozen)
        jax.block_until_ready((state, metrics))
        return time.perf_counter() - began

    return once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", default="hubert")
    parser.add_argument("--size", default="tiny")
    parser.add_argument("--freeze", default="nothing")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--remat", action="store_true")
    parser.add_argument("--only", choices=["together", "sequential"])
    for name, default in {"folds": 5, "batch": 16, "rounds": 7}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    keep_memory()
    cli.compilation_cache()
    names = [options.only] if options.only else ["together", "sequential"]
    sides = {name: make_step(options, name == "together") for name in names}
    first = {name: side() for name, side in sides.items()}
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, side in sides.items():
            times[name].append(side())
    device = jax.devices()[0]
    print(
        f"{options.size}, freeze {options.freeze}, {options.dtype}, {options.folds} folds x {options.batch} clips x "
        f"{options.seconds:g} s on {device.device_kind}"
    )
    print("| side | step, s (median) | lowest to highest | first step, s | clips/s |\n|---|---:|---:|---:|---:|")
    for name, values in times.items():
        middle = statistics.median(values)
        print(
            f"| {name} | {middle:.3f} | {min(values):.3f} to {max(values):.3f} | {first[name]:.1f} | "
            f"{options.folds * options.batch / middle:.0f} |"
        )
    if len(times) == 2:
        pairs = [a / b for a, b in zip(times["together"], times["sequential"], strict=True)]
        print(f"together / sequential, pair by pair: {statistics.median(pairs):.2f}")
    memory = device.memory_stats() or {}
    if "peak_bytes_in_use" in memory:
        print(f"peak device memory: {memory['peak_bytes_in_use'] / 2**30:.1f} GiB")


if __name__ == "__main__":
    main()
