"""Weak scaling on paper: efficiency of layouts of folds and batches on growing machines, as rows and a picture."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from serjax.evaluation.plots import COLOURS, INK
from serjax.runs.planning.roofline import BACKWARD, Work, efficiency
from serjax.runs.planning.topology import Topology

LAYOUTS = ("folds and seeds across", "five folds across", "data across")
"""One trial a device; five folds, the batch of each shared by a fifth of the devices; one batch shared by all."""


class Row(NamedTuple):
    """Efficiency of one layout on one machine.

    Attributes:
        size: of the encoder.
        machine: its name.
        layout: of `LAYOUTS`.
        devices: of the machine.
        idle: of these.
        exposed: efficiency where nothing that is sent is hidden.
        hidden: efficiency where it hides behind the backward pass.
    """

    size: str
    machine: str
    layout: str
    devices: int
    idle: int
    exposed: float
    hidden: float


def scaling_rows(works: Mapping[str, Work], machines: Sequence[Topology]) -> list[Row]:
    """Return the efficiency of every layout of every encoder on every machine.

    Each device has a batch of its own size, so the batch of a fold grows with the devices that share it.

    Args:
        works: of one device and one fold, by size of the encoder; `reduced` are the bytes of its gradients.
        machines: to look at.
    """
    return [
        _row(size, work, machine, layout) for size, work in works.items() for machine in machines for layout in LAYOUTS
    ]


def _row(size: str, work: Work, machine: Topology, layout: str) -> Row:
    count = machine.count
    shared = {
        LAYOUTS[0]: [(1, 0)],
        LAYOUTS[1]: [(data, count - 5 * data) for data in range(1, count // 5 + 1) if _packs(data, machine)],
        LAYOUTS[2]: [(count, 0)],
    }[layout]

    def both(across: int, idle: int) -> tuple[float, float]:
        spread = work._replace(across=across)
        exposed, hidden = (efficiency(spread, machine, idle=idle, overlap=share) for share in (0.0, BACKWARD))
        return exposed, hidden

    across, idle = max(shared, key=lambda one: both(*one))
    return Row(size, machine.name, layout, count, idle, *both(across, idle))


def _packs(data: int, machine: Topology) -> bool:
    """Return whether groups of so many devices lie within nodes, or fill whole ones: no group straddles two."""
    return machine.chip.network is None or machine.node % data == 0 or data % machine.node == 0


def scaling_table(rows: Sequence[Row]) -> str:
    """Return the rows in Markdown: a line for a machine, exposed and hidden for each layout."""
    lines = [f"| encoder | machine | {' | '.join(LAYOUTS)} |", f"| --- | --- |{' ---: |' * len(LAYOUTS)}"]
    places = dict.fromkeys((row.size, row.machine) for row in rows)
    for size, machine in places:
        cells = []
        for row in rows:
            if (row.size, row.machine) == (size, machine):
                idle = f", {row.idle} idle" if row.idle else ""
                cells.append(f"{row.exposed:.2f} / {row.hidden:.2f}{idle}")
        lines.append(f"| {size} | {machine} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def scaling_figure(rows: Sequence[Row], families: Mapping[str, Sequence[str]]) -> Figure:
    """Draw efficiency over devices: a panel for a family of machines and an encoder, a line for a layout.

    Args:
        rows: what `scaling_rows` returned.
        families: names of machines by the title of their panel.
    """
    sizes = list(dict.fromkeys(row.size for row in rows))
    figure = Figure(figsize=(3.6 * len(families) * len(sizes) / 2 + 2, 6.4), layout="constrained")
    panels = figure.subplots(len(sizes), len(families), squeeze=False, sharey=True)
    for line, size in zip(panels, sizes, strict=True):
        for axes, (title, names) in zip(line, families.items(), strict=True):
            for layout, colour in zip(LAYOUTS, COLOURS, strict=False):
                found = [row for row in rows if (row.size, row.layout) == (size, layout) and row.machine in names]
                devices = [row.devices for row in found]
                axes.plot(devices, [row.exposed for row in found], color=colour, marker="o", label=layout)
                axes.plot(devices, [row.hidden for row in found], color=colour, linestyle=":")
            axes.axhline(0.9, color=INK, linewidth=0.6)
            axes.set_xscale("log", base=2)
            axes.set_xticks(sorted({row.devices for row in rows if row.machine in names}))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.set_ylim(0, 1.05)
            axes.set_title(f"{size}, {title}", fontsize=10, color=INK)
            axes.set_xlabel("devices", color=INK)
        line[0].set_ylabel("efficiency", color=INK)
    panels[0][0].legend(loc="lower left", fontsize=8, frameon=False)
    return figure
