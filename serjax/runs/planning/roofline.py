"""Times of a step from what it computes, reads and sends, and how they grow with devices: a model on paper.

Assumptions, which docs/results/scaling.md lists too: matrix units reach `utilization` of their peak; a program either
computes or waits for memory, whichever takes longer; chips reduce in a ring, in nodes first and between them then; of
what is sent, no more is hidden than `overlap` of the time computed; no latency, no waiting for data or the slowest.
"""

from typing import NamedTuple

from serjax.runs.planning.topology import Topology

UTILIZATION = 0.4
"""Share of the peak that matrix products are taken to reach. Dense transformers report 0.3 to 0.6 (Chowdhery et al.,
2022, table 3, call it MFU)."""
BACKWARD = 2 / 3
"""Share of a step that is its backward pass, under which gradients can travel as soon as they are there."""


class Work(NamedTuple):
    """Work of one device in one step.

    Attributes:
        flops: of matrix products and convolutions.
        memory: bytes read and written.
        reduced: bytes of the gradients that devices add up.
        across: devices that add them up.
        sent: bytes that the device sends, where a compiled program has told; else they follow from `reduced`.
    """

    flops: float
    memory: float
    reduced: float
    across: int
    sent: float | None = None


class Times(NamedTuple):
    """Seconds of a step."""

    compute: float
    memory: float
    links: float

    @property
    def bound(self) -> str:
        """Name of the longest."""
        return max(self._fields, key=lambda name: getattr(self, name))

    def step(self, overlap: float = 0.0) -> float:
        """Return the whole step's seconds, where sending hides behind `overlap` of the rest, at most."""
        busy = max(self.compute, self.memory)
        return busy + max(0.0, self.links - overlap * busy)


def reduce_seconds(size: float, across: int, topology: Topology) -> float:
    """Return the seconds of an all-reduce of `size` bytes over `across` devices that lie side by side.

    Within a node every device sends 2 (n - 1) / n of the bytes around the ring (Thakur et al., 2005). Of more nodes,
    each device then reduces its own nth part with its peers in the other nodes, over its own network adapter.

    Args:
        size: of what each device holds.
        across: devices, those of a node first.
        topology: whose links carry it.
    """
    if across <= 1:
        return 0.0
    near = min(across, topology.node)
    nodes = -(-across // near)
    seconds = 2 * (near - 1) / near * size / topology.chip.ring
    if nodes > 1:
        assert topology.chip.network is not None
        seconds += 2 * (nodes - 1) / nodes * (size / near) / topology.chip.network
    return seconds


def times(work: Work, topology: Topology, utilization: float = UTILIZATION) -> Times:
    """Return the seconds of a step's parts; a compiled program's bytes are taken to stay within a node's links."""
    chip = topology.chip
    links = reduce_seconds(work.reduced, work.across, topology) if work.sent is None else work.sent / chip.ring
    return Times(work.flops / (utilization * chip.flops), work.memory / chip.bandwidth, links)


def efficiency(
    work: Work, topology: Topology, *, idle: int = 0, utilization: float = UTILIZATION, overlap: float = 0.0
) -> float:
    """Return the weak-scaling efficiency: seconds of one device alone over those of all, each with as much to do.

    Args:
        work: of one device.
        topology: all devices.
        idle: devices that have nothing to do, which count as lost.
        utilization: share of the peak that is reached.
        overlap: share of the time computed behind which sending can hide.
    """
    alone = times(work._replace(reduced=0, across=1, sent=None), topology, utilization).step()
    together = times(work, topology, utilization).step(overlap)
    return alone / together * (topology.count - idle) / topology.count
