"""The plan as tables for a terminal."""

import math
from collections import defaultdict
from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from serjax.models.functional import count
from serjax.runs.planning.collectives import Collective
from serjax.runs.planning.counting import size
from serjax.runs.planning.plan import MeshPlan, Planner
from serjax.runs.planning.steps import SPARE

GIB = 2**30


def gib(amount: float) -> str:
    """Return bytes as GiB."""
    return f"{amount / GIB:.2f}"


def _milliseconds(seconds: float) -> str:
    return "-" if math.isnan(seconds) else f"{1e3 * seconds:.3g}"


def axis_names(plans: Sequence[MeshPlan]) -> str:
    """Return the names of the axes that the plans' `shape` counts."""
    return "fold x data" + (" x shard" if plans[0].shard > 1 else "")


def plan_tables(planner: Planner, plans: Sequence[MeshPlan], best: MeshPlan | None) -> RenderableType:
    """Return what one fold is made of, the meshes with the best one marked, what travels, and what would fit."""
    parts: list[RenderableType] = [_fold_table(planner), _mesh_table(planner, plans, best), _time_table(plans, best)]
    if plans[0].collectives is not None:
        parts.append(_collective_table(plans))
    parts.append(_fit_table(planner, plans[0] if best is None else best))
    return Group(*parts)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, no_wrap=True, justify="left" if number == 0 else "right")
    return table


def _fold_table(planner: Planner) -> Table:
    step = planner.step
    counted = planner.at(step.rows)
    table = _table("One fold, by counting", "", "")
    rows = (
        ("trained parameters", f"{count(step.state.params):,}"),
        ("frozen parameters, shared", f"{count(step.frozen):,}"),
        ("parameters, GiB", gib(size(step.state.params))),
        ("gradients, GiB", gib(planner.gradient)),
        ("optimizer's moments, GiB", gib(size(step.state.optimizer))),
        ("best state, GiB", gib(size(step.state.params))),
        ("frozen, GiB", gib(size(step.frozen))),
        (f"peak of a step of {step.rows} clips, GiB, at most", gib(counted.peak)),
        ("operations of a step, TFLOP", f"{counted.flops / 1e12:.3g}"),
    )
    for row in rows:
        table.add_row(*row)
    return table


def _mesh_table(planner: Planner, plans: Sequence[MeshPlan], best: MeshPlan | None) -> Table:
    topology, chip = planner.topology, planner.topology.chip
    memory = "" if math.isinf(chip.memory) else f" of {gib(chip.memory)}"
    title = f"Meshes of {topology.name} ({topology.count} x {chip.name})"
    table = _table(title, axis_names(plans), "idle", "folds x clips", f"GiB{memory}", "")
    for plan in plans:
        marks = [] if plan.fits(chip) else ["too large"]
        marks += ["best"] if plan is best and len(plans) > 1 else []
        table.add_row(
            plan.shape,
            str(topology.count - plan.devices),
            f"{plan.folds} x {plan.rows}",
            gib(plan.memory),
            ", ".join(marks),
            style="bold" if plan is best else None,
        )
    return table


def _time_table(plans: Sequence[MeshPlan], best: MeshPlan | None) -> Table:
    title = "A step on a device: operations, bytes sent, ms of each by the roofline; hours of all epochs, at most"
    table = _table(title, "mesh", "TFLOP", "GB sent", "compute", "memory", "links", "step", "hours")
    for plan in plans:
        table.add_row(
            plan.shape,
            f"{plan.work.flops / 1e12:.3g}",
            f"{plan.work.bytes_sent / 1e9:.3g}",
            *map(_milliseconds, plan.times),
            _milliseconds(plan.seconds),
            "-" if math.isnan(plan.hours) else f"{plan.hours:.2g}",
            style="bold" if plan is best else None,
        )
    return table


def _collective_table(plans: Sequence[MeshPlan]) -> RenderableType:
    table = _table("What travels in a step", "mesh", "kind", "number", "GB", "devices", "axes")
    for plan in plans:
        groups: dict[tuple[str, int, tuple[str, ...]], list[Collective]] = defaultdict(list)
        for one in plan.collectives or ():
            groups[one.kind, one.group, one.axes].append(one)
        for (kind, devices, axes), found in groups.items():
            amount = f"{sum(one.size for one in found) / 1e9:.3g}"
            table.add_row(plan.shape, kind, str(len(found)), amount, str(devices), " ".join(axes) or "-")
    return table if table.row_count else Text("Nothing travels between devices in a step.\n")


def _fit_table(planner: Planner, plan: MeshPlan) -> Table:
    title = f"Largest batch that fits a device at {SPARE:.0%} of its memory, by counting"
    table = _table(title, "folds a device", "without remat", "with remat")
    for folds in sorted({1, 2, plan.folds, planner.extent.folds}):
        if folds > planner.extent.folds:
            continue
        plain = planner.largest_batch(folds, False)
        again = planner.largest_batch(folds, True) if planner.can_remat else "-"
        table.add_row(str(folds), str(plain or "none"), str(again or "none"))
    return table
