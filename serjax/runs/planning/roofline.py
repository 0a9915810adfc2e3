"""Times of a step from what it computes, reads and sends, and how they grow with devices: a model on paper.

Assumptions, which docs/results/scaling.md lists too: matrix units reach `utilization` of their peak; a program either
computes or waits for memory, whichever takes longer; chips reduce in a ring, in nodes first and between them then; of
what is sent, no more is hidden than `overlap` of the time computed; no latency, no waiting for data or the slowest.
"""

from dataclasses import replace
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
        gathered: bytes of parameters that are split over devices, and whole while a pass computes with them.
        shard: devices over which they are split, which lie side by side.
        sent: bytes that the device sends, where a compiled program has told; else they follow from `reduced`.
    """

    flops: float
    memory: float
    reduced: float
    across: int
    gathered: float = 0.0
    shard: int = 1
    sent: float | None = None

    @property
    def bytes_sent(self) -> float:
        """Bytes that the device sends in a step: those of a compiled program, or of rings.

        Split parameters are gathered for the forward pass and again for the backward pass, and the sums of their
        gradients scattered (Rajbhandari et al., SC 2020, section 7.2); each device adds up its part with its peers.
        """
        if self.sent is not None:
            return self.sent
        rest = (self.shard - 1) / self.shard
        return rest * (2 * self.gathered + self.reduced) + 2 * (self.across - 1) / self.across * (
            self.reduced / self.shard
        )


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


def _link_seconds(work: Work, topology: Topology) -> float:
    """Return the seconds that a device's links are busy; a compiled program's bytes are taken to stay in a node."""
    chip, shard = topology.chip, work.shard
    if work.sent is not None:
        return work.sent / chip.ring
    seconds = 0.0
    if shard > 1:
        slowest = chip.ring if shard <= topology.node else min(chip.ring, chip.network or chip.ring)
        seconds = (shard - 1) / shard * (2 * work.gathered + work.reduced) / slowest
    # Of a node's devices as many as it has groups hold the same part.
    peers = replace(topology, node=max(1, topology.node // shard))
    return seconds + reduce_seconds(work.reduced / shard, work.across, peers)


def times(work: Work, topology: Topology, utilization: float = UTILIZATION) -> Times:
    """Return the seconds of a step's parts."""
    chip = topology.chip
    return Times(work.flops / (utilization * chip.flops), work.memory / chip.bandwidth, _link_seconds(work, topology))


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
    alone = times(work._replace(reduced=0, across=1, shard=1, sent=None), topology, utilization).step()
    together = times(work, topology, utilization).step(overlap)
    return alone / together * (topology.count - idle) / topology.count
