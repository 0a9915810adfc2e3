"""The plan of an experiment on a machine: memory, work and time of a step on every mesh, before anything is bought."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh

from serjax.config.experiment import Experiment
from serjax.models.functional import count as count_weights
from serjax.runs.planning.chips import Chip
from serjax.runs.planning.collectives import Collective
from serjax.runs.planning.compiled import CompiledStep, compile_step
from serjax.runs.planning.counting import Count, count, size
from serjax.runs.planning.resolve import Extent
from serjax.runs.planning.roofline import UTILIZATION, Times, Work, times
from serjax.runs.planning.steps import SPARE, Step, training_step
from serjax.runs.planning.topology import Topology
from serjax.runtime.errors import UserError
from serjax.runtime.mesh import ROWS, Cost, mesh_shape
from serjax.runtime.platform import compiling_for
from serjax.training.fold_axis import FoldAxis
from serjax.training.parameter_sharding import bytes_per_device, choose_shards


@dataclass(frozen=True)
class MeshPlan:
    """A step on one mesh.

    Attributes:
        fold: devices along the fold axis.
        data: groups of devices that share a fold's batch.
        shard: devices of a group, over which parameters are split.
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
    shard: int
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

    @property
    def shape(self) -> str:
        """The mesh's size, such as 5 x 1."""
        return f"{self.fold} x {self.data}" + (f" x {self.shard}" if self.shard > 1 else "")

    @property
    def devices(self) -> int:
        """Devices of the mesh."""
        return self.fold * self.data * self.shard

    def work_of_fold(self) -> Work:
        """Return the work of one of the device's folds."""
        work = self.work
        return work._replace(
            flops=work.flops / self.folds, memory=work.memory / self.folds, reduced=work.reduced / self.folds
        )

    def fits(self, chip: Chip) -> bool:
        """Return whether the memory of a device is enough."""
        return self.memory <= SPARE * chip.memory


class Planner:
    """Counts the steps of an experiment, and compiles them where that can be done.

    Attributes:
        shard: devices over which parameters are split, see `choose_shard`.
    """

    def __init__(
        self,
        experiment: Experiment,
        extent: Extent,
        topology: Topology,
        *,
        utilization: float = UTILIZATION,
        devices: Any = None,
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
        self.utilization, self.devices, self.shard = utilization, devices, 1
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

    def memory(self, folds: int, rows: int, remat: bool | None = None, shard: int | None = None) -> float:
        """Return the bytes of a device with so many folds of so many clips, by counting: more than it will take.

        Where parameters are split, each fold's are taken to be whole once beside the device's part of its state.
        """
        shard = self.shard if shard is None else shard
        step, shared, counted = self.step, size(self.step.frozen), self.at(rows, remat).peak
        own, best = size(step.state), size(step.state.params)
        if shard == 1:
            return folds * (counted - shared + best) + shared
        kept = bytes_per_device(step.state, shard) + bytes_per_device(step.state.params, shard)
        return folds * (counted - shared - own + best + kept) + shared + bytes_per_device(step.frozen, shard)

    @property
    def gradient(self) -> float:
        """Bytes of one fold's gradients as devices add them up: in the dtype that the model computes in."""
        width = 2 if self.experiment.model.dtype == "bfloat16" else 4
        return width * count_weights(self.step.state.params)

    def mesh(self, fold: int, data: int, *, compile: bool = False) -> MeshPlan:
        """Return the plan of one mesh, of `shard` devices along its third axis.

        Raises:
            UserError: the mesh has more devices than the machine, or does not divide the batch.
        """
        self._check(fold, data)
        counted = self._counted_mesh(fold, data, self.shard)
        if not compile:
            return counted
        built, state = self._compile(fold, data), self.step.state
        work = counted.work._replace(sent=sum(one.sent for one in built.collectives), memory=built.traffic)
        found = times(work, self.topology, self.utilization)
        seconds = found.step() if built.seconds is None else built.seconds
        return replace(
            counted,
            memory=built.memory + counted.folds * bytes_per_device(state.params, self.shard),
            work=work,
            times=found,
            seconds=seconds,
            hours=self._hours(seconds),
            collectives=built.collectives,
            compiled_flops=built.flops,
        )

    def _counted_mesh(self, fold: int, data: int, shard: int) -> MeshPlan:
        step = self.step
        folds, rows = math.ceil(self.extent.folds / fold), self.experiment.train.batch_size // (data * shard)
        one = self.at(rows)
        # Moments, parameters and gradients are read, and the first two written, once a step.
        updated = 2 * bytes_per_device(step.state, shard) + bytes_per_device(step.state.params, shard)
        work = Work(
            folds * one.flops,
            folds * (one.moved + updated),
            folds * self.gradient,
            data,
            0.0 if shard == 1 else folds * size(step.state.params) + size(step.frozen),
            shard,
        )
        bound = self.memory(folds, rows, shard=shard)
        found = times(work, self.topology, self.utilization)
        seconds = found.step()
        return MeshPlan(fold, data, shard, folds, rows, bound, bound, work, found, seconds, self._hours(seconds))

    def seconds(self, fold: int, data: int, shard: int) -> float:
        """Return the seconds of a step on a mesh by counting: the cost by which training chooses its mesh."""
        return self._counted_mesh(fold, data, shard).seconds

    def choose_shard(self, wish: int | Literal["auto"]) -> None:
        """Split parameters as `serjax.train` would with this `mesh.shard`.

        Raises:
            UserError: they, or batches, cannot be split over as many devices.
        """
        step, limit = self.step, self.topology.chip.memory
        if math.isnan(self.topology.chip.flops) and wish == "auto":
            return  # as in training on a CPU
        self.shard = choose_shards(
            wish,
            lambda: ((step.state, step.state.params, step.state.params), step.frozen),
            folds=self.extent.folds,
            batch=self.part,
            together=True,
            devices=self.topology.count,
            processes=1,
            limit=limit,
            cost=self.cost,
        )

    @property
    def cost(self) -> Cost | None:
        """Cost of meshes; None: nothing is known of such a chip, and turns are counted."""
        return None if math.isnan(self.topology.chip.flops) else self.seconds

    @property
    def part(self) -> int:
        """Clips of a fold that go through the model at once."""
        return self.experiment.train.batch_size // self.experiment.train.accumulate

    def _check(self, fold: int, data: int) -> None:
        train, count, shard = self.experiment.train, self.topology.count, self.shard
        told = f"--mesh {fold}x{data}" + (f" with --mesh.shard {shard}" if shard > 1 else "")
        used = fold * data * shard
        if fold < 1 or data < 1 or used > count:
            raise UserError(f"{told}: it has {used} devices, but {self.topology.name} has {count}; give a smaller one.")
        if fold > self.extent.folds:
            raise UserError(
                f"{told}: {fold} devices lie along {self.extent.folds} folds, seeds and rates; give at most as many."
            )
        if self.part % (data * shard):
            of = "train.batch_size" if train.accumulate == 1 else "train.batch_size / train.accumulate"
            raise UserError(f"{told}: {data * shard} does not divide {of} ({self.part}); give a divisor of it.")

    def _compile(self, fold: int, data: int) -> CompiledStep:
        shape = (fold, data, self.shard)
        mesh = Mesh(np.asarray(self.devices[: math.prod(shape)]).reshape(shape), ("fold", *ROWS))
        axis = FoldAxis(self.extent.folds, mesh, together=True)
        step = self.step
        if self.shard > 1:
            step = training_step(self.experiment, self.extent.classes, axis.gather_params)
        return compile_step(step, axis, timed=self.topology.name == "local")

    def _hours(self, seconds: float) -> float:
        """Return the hours of all epochs; an answer for a validation clip takes a third of a step's share of it."""
        train, extent = self.experiment.train, self.extent
        steps = math.ceil(extent.train / train.batch_size)
        answers = math.ceil(extent.validation / train.batch_size) / 3
        return train.epochs * (steps + answers) * seconds / 3600

    def default(self) -> tuple[int, int]:
        """Return the mesh that training would take."""
        return mesh_shape(self.extent.folds, self.part, self.topology.count, shard=self.shard, cost=self.cost)

    def shapes(self) -> list[tuple[int, int]]:
        """Return the meshes that are worth a look: none has a smaller one that does as well."""
        count, shard = self.topology.count // self.shard, self.shard
        folds = [one for one in range(1, min(self.extent.folds, count) + 1) if not _wasteful(self.extent.folds, one)]
        return [
            (fold, data) for fold in folds for data in range(1, count // fold + 1) if self.part % (data * shard) == 0
        ]

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
    return min(fitting, key=lambda plan: (plan.seconds, plan.devices), default=None)


def sweep(
    planner: Planner, shapes: Sequence[tuple[int, int]], *, compile: bool, tick: Callable[[], None] = lambda: None
) -> list[MeshPlan]:
    """Return the plans of meshes, calling `tick` after each."""
    plans = []
    for shape in shapes:
        plans.append(planner.mesh(*shape, compile=compile))
        tick()
    return plans
