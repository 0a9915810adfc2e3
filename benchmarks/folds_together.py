"""One training step of K folds: in one vmapped computation, or one fold after the other.

    python benchmarks/folds_together.py [--size tiny --folds 5 --batch 16 --seconds 3 --freeze nothing --rounds 7]

`folds.together: auto` rests on what this prints (docs/results/benchmarks.md). Both sides are in one process, on the
devices there are, with the same random weights and noise for clips; memory is the device's peak where it tells.
"""

import argparse

import harness
import jax
import jax.numpy as jnp
import numpy as np
from training_step import classifying

from serjax import cli
from serjax.audio import SAMPLE_RATE
from serjax.models.base import EncoderLayout
from serjax.models.encoders.config import preset
from serjax.models.functional import count
from serjax.models.inputs import Inputs
from serjax.models.speech import Speech
from serjax.runtime.allocator import keep_memory
from serjax.training.classification import LabelledInputs
from serjax.training.config import OptimizerConfig
from serjax.training.fold_axis import BATCH, FOLD, SHARED, fold_axis
from serjax.training.initialize import first_states, initial
from serjax.training.optimizer import make_optimizer
from serjax.training.update import TrialConstants

CLASSES = 8


def make_step(options: argparse.Namespace, together: bool) -> tuple[harness.Call, str]:
    """Return a function that makes one step and waits for it, and a sentence on the weights."""
    layout = EncoderLayout(preset(options.family, options.size), normalize=True)
    model = Speech(
        family=options.family,
        size=options.size,
        freeze=options.freeze,
        dtype=options.dtype,
        remat=options.remat,
        layout=layout,
    )
    axis = fold_axis(options.folds, options.batch, together=together)
    keys = jax.random.split(jax.random.key(0), options.folds)
    graphdef, params, frozen = initial(
        lambda rngs: model.build(CLASSES, rngs=rngs), lambda path: not model.trainable(path), keys, keys[0], axis, {}
    )
    optimizer = make_optimizer(OptimizerConfig(), axis.first(params), frozen)
    step = axis.jit_step(classifying(graphdef, optimizer, dtype=options.dtype), (FOLD, BATCH, FOLD, SHARED))
    shape, samples = (options.folds, options.batch), round(options.seconds * SAMPLE_RATE)
    wave = np.random.default_rng(0).normal(0, 0.1, (*shape, samples)).astype(np.float32)
    arrays = wave, np.full(shape, samples, np.int32)
    batch = axis.feed(LabelledInputs(Inputs(*arrays), np.zeros(shape, np.int32), np.ones(shape, np.float32)))
    ones = jnp.ones(options.folds)
    constants = axis.shard(
        TrialConstants(keys, 1000 * ones.astype(jnp.int32), 1e-5 * ones, jnp.ones((options.folds, CLASSES)))
    )
    frozen = axis.replicate(frozen)
    state = first_states(params, optimizer, axis)
    told = f"{count(axis.first(params)):,} trained and {count(frozen):,} frozen weights a fold"

    def once() -> None:
        nonlocal state
        state, metrics = step(np.ones(options.folds, bool), state, batch, constants, frozen)
        jax.block_until_ready((state, metrics))

    return once, told


def main() -> None:
    """Measure and publish."""
    parser = harness.parser(__doc__, rounds=7, turn=0)
    parser.add_argument("--family", default="hubert")
    parser.add_argument("--size", default="tiny")
    parser.add_argument("--freeze", default="nothing")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--remat", action="store_true")
    parser.add_argument("--only", choices=["together", "sequential"])
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    keep_memory()
    cli.compilation_cache()
    names = [options.only] if options.only else ["together", "sequential"]
    made = {name: make_step(options, name == "together") for name in names}
    first = [f"{name} {harness.amounts([harness.clock(step, again=False)])}" for name, (step, _) in made.items()]
    turns = {name: lambda step=step: harness.clock(step, options.turn, again=False) for name, (step, _) in made.items()}
    values = harness.in_turns({"a step of all folds": turns}, options.rounds)
    clips = f"{options.folds} folds x {options.batch} clips x {options.seconds:g} s"
    facts = f"{options.family} {options.size}, freeze {options.freeze}, {options.dtype}, {clips}; {made[names[0]][1]}."
    memory = jax.devices()[0].memory_stats() or {}
    peak = memory.get("peak_bytes_in_use")
    parts = [facts, harness.comparison(values, names[0]), f"First step: {', '.join(first)}."]
    parts.append(f"Peak device memory: {peak / 2**30:.1f} GiB." if peak else "")
    harness.publish(parts, options)


if __name__ == "__main__":
    main()
