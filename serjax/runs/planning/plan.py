"""The plan of an experiment on a machine: memory, work and time of a step on every mesh, before anything is bought."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from serjax.config.experiment import Experiment
from serjax.models.functional import count as count_weights
from serjax.runs.planning.chips import Chip
from serjax.runs.planning.collectives import Collective, read_collectives
from serjax.runs.planning.counting import Count, count, size
from serjax.runs.planning.resolve import Extent
from serjax.runs.planning.roofline import Times, Work, times
from serjax.runs.planning.steps import SPARE, Step, memory_of, training_step
from serjax.runs.planning.topology import Topology
from serjax.runtime.errors import UserError
from serjax.runtime.mesh import ROWS, mesh_shape
from serjax.runtime.platform import compiling_for
from serjax.training.fold_axis import FoldAxis


@dataclass(frozen=True)
class MeshPlan:
    """A step on one mesh.

    Attributes:
        fold: devices along the fold axis.
        data: devices that share a fold's batch.
        folds: folds of a device.
        rows: clips of a fold's batch on a device.
        memory: bytes of a device, with the best state that is kept beside the step's own.
        bound: `memory` by counting alone, which a compiled program stays below.
        work: of a device.
        times: of a step.
        seconds: of a step: measured, or the `times` together.
        hours: of the whole run, at most.
        collectives: of the compiled program; None where it was not compiled.
        compiled_flops: by the compiler's own count; None where it was not compiled.
    """

    fold: int
    data: int
    folds: int
    rows: int
    memory: float
    bound: float
    work: Work
    times: Times
    seconds: float
    hours: float
    collectives: tuple[Collective, ...] | None = None
    compiled_flops: float | None = None

    def work_of_fold(self) -> Work:
        """Return the work of one of the device's folds."""
        work = self.work
        return work._replace(
            flops=work.flops / self.folds, memory=work.memory / self.folds, reduced=work.reduced / self.folds
        )

    def fits(self, chip: Chip) -> bool:
        """Return whether the memory of a device is enough."""
        return self.memory <= SPARE * chip.memory


class _Compiled(NamedTuple):
    """Figures of a compiled step on one device: bytes, collectives, operations, bytes read and written, seconds."""

    memory: float
    collectives: tuple[Collective, ...]
    flops: float
    traffic: float
    seconds: float | None


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


class Planner:
    """Counts the steps of an experiment, and compiles them where that can be done."""

    def __init__(
        self, experiment: Experiment, extent: Extent, topology: Topology, *, utilization: float, devices: Any = None
    ) -> None:
        """Trace nothing yet.

        Args:
            experiment: resolved.
            extent: how much it trains.
            topology: the machine.
            utilization: share of the peak that matrix products reach.
            devices: to compile for; None: count alone.
        """
        self.experiment, self.extent, self.topology = experiment, extent, topology
        self.utilization, self.devices = utilization, devices
        self._count = cache(self._counted)
        self._step = cache(self._make)

    def _make(self, rows: int, remat: bool) -> Step:
        experiment = self.experiment
        model: Any = experiment.model
        if self.can_remat:
            model = replace(model, remat=remat)
        train = replace(experiment.train, batch_size=rows)
        return training_step(replace(experiment, model=model, train=train), self.extent.classes)

    def _counted(self, rows: int, remat: bool) -> Count:
        step = self._step(rows, remat)
        with compiling_for(self.topology.chip.kind):
            traced = jax.make_jaxpr(step.function)(*step.arguments)
        return count(traced, donated=len(jax.tree.leaves(step.state)))

    @property
    def remat(self) -> bool:
        """True where the experiment computes layers again in the backward pass."""
        return bool(getattr(self.experiment.model, "remat", False))

    @property
    def can_remat(self) -> bool:
        """True where the model can do so."""
        return hasattr(self.experiment.model, "remat")

    @property
    def step(self) -> Step:
        """The step of one fold on one device."""
        return self._step(self.experiment.train.batch_size, self.remat)

    def at(self, rows: int, remat: bool | None = None) -> Count:
        """Return the counts of one fold's step of `rows` clips on one device.

        Three sizes are traced: the peak of memory is convex in the rows, so a line between two is never below it.
        """
        remat = self.remat if remat is None else remat
        least, batch = self.experiment.train.accumulate, self.experiment.train.batch_size
        known = sorted({least, batch, 16 * batch})
        counts = [self._count(one, remat) for one in known]
        fields = zip(*counts, strict=True)
        return Count(*(float(np.interp(rows, known, values)) for values in fields))

    def memory(self, folds: int, rows: int, remat: bool | None = None) -> float:
        """Return the bytes of a device with so many folds of so many clips, by counting: more than it will take."""
        step, shared = self.step, size(self.step.frozen)
        return folds * (self.at(rows, remat).peak - shared + size(step.state.params)) + shared

    @property
    def gradient(self) -> float:
        """Bytes of one fold's gradients as devices add them up: in the dtype that the model computes in."""
        width = 2 if self.experiment.model.dtype == "bfloat16" else 4
        return width * count_weights(self.step.state.params)

    def mesh(self, fold: int, data: int, *, compile: bool = False) -> MeshPlan:
        """Return the plan of one mesh.

        Raises:
            UserError: the mesh has more devices than the machine, or does not divide the batch.
        """
        train = self.experiment.train
        self._check(fold, data)
        folds, rows = math.ceil(self.extent.folds / fold), train.batch_size // data
        one = self.at(rows)
        state = self.step.state
        # Moments, parameters and gradients are read, and the first two written, once a step.
        moved = one.moved + 2 * size(state) + size(state.params)
        work = Work(folds * one.flops, folds * moved, folds * self.gradient, data)
        bound = self.memory(folds, rows)
        if not compile:
            found = times(work, self.topology, self.utilization)
            seconds = found.step()
            return MeshPlan(fold, data, folds, rows, bound, bound, work, found, seconds, self._hours(seconds))
        built = self._compile(fold, data)
        work = work._replace(sent=sum(one.sent for one in built.collectives), memory=built.traffic)
        found = times(work, self.topology, self.utilization)
        seconds = found.step() if built.seconds is None else built.seconds
        return MeshPlan(
            fold,
            data,
            folds,
            rows,
            built.memory + folds * size(state.params),
            bound,
            work,
            found,
            seconds,
            self._hours(seconds),
            built.collectives,
            built.flops,
        )

    def _check(self, fold: int, data: int) -> None:
        train, count = self.experiment.train, self.topology.count
        told = f"--mesh {fold}x{data}"
        if fold < 1 or data < 1 or fold * data > count:
            raise UserError(
                f"{told}: it has {fold * data} devices, but {self.topology.name} has {count}; give a smaller one."
            )
        if fold > self.extent.folds:
            raise UserError(
                f"{told}: {fold} devices lie along {self.extent.folds} folds, seeds and rates; give at most as many."
            )
        part = train.batch_size // train.accumulate
        if part % data:
            of = "train.batch_size" if train.accumulate == 1 else "train.batch_size / train.accumulate"
            raise UserError(f"{told}: {data} does not divide {of} ({part}); give a divisor of it.")

    def _compile(self, fold: int, data: int) -> "_Compiled":
        mesh = Mesh(np.asarray(self.devices[: fold * data]).reshape(fold, data, 1), ("fold", *ROWS))
        axis = FoldAxis(self.extent.folds, mesh, together=True)
        compiled = self.step.lower(axis).compile()
        cost: Any = compiled.cost_analysis() or {}
        seconds = measure(compiled, self.step.all_arguments(axis)) if self.topology.name == "local" else None
        return _Compiled(
            float(memory_of(compiled)),
            tuple(read_collectives(compiled.as_text() or "", (fold, data))),
            float(cost.get("flops", math.nan)),
            float(cost.get("bytes accessed", math.nan)),
            seconds,
        )

    def _hours(self, seconds: float) -> float:
        """Return the hours of all epochs; an answer for a validation clip takes a third of a step's share of it."""
        train, extent = self.experiment.train, self.extent
        steps = math.ceil(extent.train / train.batch_size)
        answers = math.ceil(extent.validation / train.batch_size) / 3
        return train.epochs * (steps + answers) * seconds / 3600

    def default(self) -> tuple[int, int]:
        """Return the mesh that training would take."""
        train = self.experiment.train
        return mesh_shape(self.extent.folds, train.batch_size // train.accumulate, self.topology.count)

    def shapes(self) -> list[tuple[int, int]]:
        """Return the meshes that are worth a look: none has a smaller one that does as well."""
        train, count = self.experiment.train, self.topology.count
        part = train.batch_size // train.accumulate
        folds = [one for one in range(1, min(self.extent.folds, count) + 1) if not _wasteful(self.extent.folds, one)]
        shapes = [(fold, data) for fold in folds for data in range(1, count // fold + 1) if part % data == 0]
        return shapes

    def largest_batch(self, folds: int, remat: bool) -> int:
        """Return the largest batch, of powers of two up to 16 times the experiment's, of which `folds` fit a device."""
        least, most = self.experiment.train.accumulate, 16 * self.experiment.train.batch_size
        sizes = [least * 2**power for power in range(int(math.log2(most / least)) + 1)]
        fitting = [rows for rows in sizes if self.memory(folds, rows, remat) <= SPARE * self.topology.chip.memory]
        return max(fitting, default=0)


def _wasteful(folds: int, devices: int) -> bool:
    """Return whether fewer devices along the fold axis would take as many turns."""
    return devices > 1 and math.ceil(folds / devices) == math.ceil(folds / (devices - 1))


def best(plans: Sequence[MeshPlan], chip: Chip) -> MeshPlan | None:
    """Return the plan of the fastest step that fits, of equal ones the one with fewer devices; None: nothing fits."""
    fitting = [plan for plan in plans if plan.fits(chip)]
    return min(fitting, key=lambda plan: (plan.seconds, plan.fold * plan.data), default=None)


def sweep(
    planner: Planner, shapes: Sequence[tuple[int, int]], *, compile: bool, tick: Callable[[], None] = lambda: None
) -> list[MeshPlan]:
    """Return the plans of meshes, calling `tick` after each."""
    plans = []
    for shape in shapes:
        plans.append(planner.mesh(*shape, compile=compile))
        tick()
    return plans
