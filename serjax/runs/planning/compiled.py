"""A compiled training step: memory, collectives and operations of a device, and its time where the devices are here."""

import math
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from serjax.runs.planning.collectives import Collective, read_collectives
from serjax.runs.planning.steps import Step, memory_of
from serjax.training.fold_axis import FoldAxis


class CompiledStep(NamedTuple):
    """Figures of a compiled step on one device.

    Attributes:
        memory: bytes that it takes.
        collectives: of the program.
        flops: by the compiler's own count.
        traffic: bytes read and written, by that count.
        seconds: measured; None where it was not.
    """

    memory: float
    collectives: tuple[Collective, ...]
    flops: float
    traffic: float
    seconds: float | None


def compile_step(step: Step, axis: FoldAxis, *, timed: bool) -> CompiledStep:
    """Compile the step of all folds for the axis's devices.

    Args:
        step: of one fold.
        axis: layout of the folds.
        timed: run it, too, which takes the devices.
    """
    compiled = step.lower(axis).compile()
    cost: Any = compiled.cost_analysis() or {}
    return CompiledStep(
        float(memory_of(compiled)),
        tuple(read_collectives(compiled.as_text() or "", tuple(axis.mesh.shape.values()))),
        float(cost.get("flops", math.nan)),
        float(cost.get("bytes accessed", math.nan)),
        measure(compiled, step.all_arguments(axis)) if timed else None,
    )


def measure(compiled: Any, arguments: Sequence[Any], repeats: int = 3) -> float:
    """Return the median seconds of a compiled step on the devices at hand, of zeros, after one that warms up.

    Args:
        compiled: takes a mask, a state, and the rest; it uses up the state.
        arguments: shapes of them.
        repeats: steps that are timed.
    """

    def zeros(shape: Any, sharding: Any) -> Any:
        if jax.dtypes.issubdtype(shape.dtype, jax.dtypes.prng_key):
            made: Any = jax.random.split(jax.random.key(0), shape.shape)
        else:
            made = jnp.zeros(shape.shape, shape.dtype)
        return jax.device_put(made, sharding)

    mask, state, *rest = jax.tree.map(zeros, tuple(arguments), compiled.input_shardings[0])
    seconds = []
    for _ in range(1 + repeats):
        began = time.perf_counter()
        state, _ = jax.block_until_ready(compiled(mask, state, *rest))
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds[1:]))
