"""A plan from an experiment and the name of a machine to the tables that are printed."""

import logging
import re

import jax
from rich.console import RenderableType

from serjax.config.experiment import Experiment
from serjax.runs.planning.plan import MeshPlan, Planner, best, sweep
from serjax.runs.planning.resolve import extent, resolved
from serjax.runs.planning.roofline import UTILIZATION
from serjax.runs.planning.tables import axis_names, plan_tables
from serjax.runs.planning.topology import can_compile, find_topology, local_topology, tpu_devices
from serjax.runtime.constraints import validate
from serjax.runtime.errors import UserError
from serjax.runtime.progress import progress_bar

log = logging.getLogger(__name__)


def plan(
    experiment: Experiment,
    on: str,
    *,
    mesh: str | None = None,
    every_mesh: bool = False,
    compile: bool = True,
    clips: int | None = None,
    utilization: float | None = None,
) -> RenderableType:
    """Return the tables of an experiment on a machine; see `serjax.plan`.

    Args:
        experiment: what would be trained.
        on: the machine, or `local`.
        mesh: such as 5x1; by default the one that training would take.
        every_mesh: look at all of them.
        compile: compile the steps where that can be done.
        clips: of a corpus that is not at hand.
        utilization: share of the peak that matrix products reach.

    Raises:
        UserError: a topology or mesh that cannot be, or an experiment that cannot be planned.
    """
    validate(experiment)
    share = UTILIZATION if utilization is None else utilization
    if not 0 < share <= 1:
        raise UserError(f"--utilization {share:g}: give a share above 0, and at most 1.")
    if clips is not None and clips < 2:
        raise UserError(f"--clips {clips}: give two clips or more.")
    if mesh is not None and every_mesh:
        raise UserError("--mesh and --sweep are both given; leave out one of them.")
    shape = _shape(mesh)
    local = on == "local"
    topology = local_topology(jax.devices()) if local else find_topology(on)
    devices = None
    if compile and (local or can_compile(topology)):
        devices = jax.devices() if local else tpu_devices(topology)
    size = extent(experiment, clips)
    planner = Planner(resolved(experiment), size, topology, utilization=share, devices=devices)
    compiled = devices is not None
    log.info(size.note)
    log.info(_basis(topology.chip.kind, compiled, local, compile))
    if not local:
        log.info(f"{topology.chip.name}: {topology.chip.source}; {share:.0%} of its peak is taken to be reached.")
    if experiment.search:
        log.info("The search is left out: one of its runs is planned.")
    planner.choose_shard(experiment.mesh.shard)
    shapes = planner.shapes() if every_mesh else [shape or planner.default()]
    with progress_bar("meshes") as bar:
        task = bar.add_task("plan", total=len(shapes), rate="")
        plans = sweep(planner, shapes, compile=compiled, tick=lambda: bar.update(task, advance=1))
    found = best(plans, topology.chip)
    log.info(_verdict(found, plans))
    return plan_tables(planner, plans, found)


def _shape(mesh: str | None) -> tuple[int, int] | None:
    if mesh is None:
        return None
    found = re.fullmatch(r"(\d+)x(\d+)", mesh)
    if found is None:
        raise UserError(f"--mesh {mesh}: give devices along folds x devices that share a batch, such as 5x1.")
    return int(found[1]), int(found[2])


def _basis(kind: str, compiled: bool, local: bool, wished: bool) -> str:
    """Return a sentence on where the figures come from."""
    if compiled and local:
        return "Steps are compiled for the devices at hand, and timed on zeros."
    if compiled:
        return "Steps are compiled by libtpu: memory, operations and collectives are the program's own; times are not."
    if kind == "tpu" and wished:
        return "libtpu is not installed for this slice (pip install 'serjax[tpu]'): all figures are counted."
    return "Nothing is compiled: all figures are counted, and memory is what a step takes at most."


def _verdict(found: MeshPlan | None, plans: list[MeshPlan]) -> str:
    axes = axis_names(plans)
    if found is not None:
        if len(plans) > 1:
            return f"Of {len(plans)} meshes, {found.shape} ({axes}) does best."
        return f"A mesh of {found.shape} ({axes}) fits."
    split = "more devices" if plans[0].shard > 1 else "parameters split over devices (mesh.shard)"
    return (
        "Nothing fits: give a smaller train.batch-size, train.accumulate, model.remat, folds.at-once or folds.only; or "
        f"{split}."
    )
