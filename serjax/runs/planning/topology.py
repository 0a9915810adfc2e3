"""Machines by name: so many chips, how they are joined, and where libtpu is installed the devices to compile for."""

import importlib.util
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from serjax.runs.planning.chips import CHIPS, Chip
from serjax.runtime.errors import UserError

_FLAT = {1: "1x1", 4: "2x2", 8: "2x4", 16: "4x4", 32: "4x8", 64: "8x8", 128: "8x16", 256: "16x16"}
_CUBES = {
    4: "2x2x1",
    8: "2x2x2",
    16: "2x2x4",
    32: "2x4x4",
    64: "4x4x4",
    128: "4x4x8",
    256: "4x8x8",
    512: "8x8x8",
    1024: "8x8x16",
    2048: "8x16x16",
    4096: "16x16x16",
}
_SHAPES = {"v5e": _FLAT, "v6e": _FLAT, "v4": _CUBES, "v5p": _CUBES}
"""Slices by number of chips."""
_CORES = {"v4": 2, "v5p": 2}
"""Names of these slices count cores, two a chip: v5p-8 has four chips."""
COMPILED = ("v5e", "v5p", "v6e")
"""TPUs that libtpu compiles for with a device a chip."""


@dataclass(frozen=True)
class Topology:
    """A machine, or several that are joined.

    Attributes:
        name: as it was asked for.
        chip: what it has.
        count: chips of all nodes.
        node: chips of a node.
        shape: of a TPU slice, such as 2x4; empty for GPUs.
    """

    name: str
    chip: Chip
    count: int
    node: int
    shape: str = ""


def find_topology(name: str) -> Topology:
    """Return the machine called v5e-16 (a slice as Google Cloud names it), h100x8, or h100x8x4 (four nodes of eight).

    Raises:
        UserError: there is no such chip or slice.
    """
    tpu, gpu = re.fullmatch(r"(v\d\w*)-(\d+)", name), re.fullmatch(r"([a-z]+\d+)x(\d+)(?:x(\d+))?", name)
    found = tpu or gpu
    chip = None if found is None else CHIPS.get(found[1])
    if found is None or chip is None or chip.kind != ("tpu" if tpu else "gpu"):
        slices = ", ".join(f"{one}-N" for one in _SHAPES)
        gpus = ", ".join(one.name for one in CHIPS.values() if one.kind == "gpu")
        raise UserError(
            f"--on {name}: there is no such topology; give a TPU slice ({slices}), GPUs as CHIPxN or CHIPxNxNODES "
            f"({gpus}), or local."
        )
    count = int(found[2])
    if tpu:
        cores, shapes = _CORES.get(chip.name, 1), _SHAPES[chip.name]
        if count % cores or count // cores not in shapes:
            sizes = ", ".join(str(cores * size) for size in shapes)
            raise UserError(f"--on {name}: there is no {chip.name} slice of {count}; give one of {sizes}.")
        chips = count // cores
        return Topology(name, chip, chips, chips, shapes[chips])
    nodes = int(found[3] or 1)
    if not 1 <= count <= chip.node or nodes < 1:
        raise UserError(
            f"--on {name}: a node has 1 to {chip.node} {chip.name}; give {chip.name}x{chip.node}xN for N nodes."
        )
    return Topology(name, chip, count * nodes, count)


_LOCAL = {"v5 lite": "v5e", "v5e": "v5e", "v5p": "v5p", "v5": "v5p", "v6": "v6e", "v4": "v4"} | {
    one: one for one in ("a100", "h100", "h200")
}
"""Chips by a part of what JAX calls their kind; the first that is found counts."""


def local_topology(devices: Sequence[Any]) -> Topology:
    """Return the devices at hand; of a kind without published figures, such as a CPU, times are not reckoned."""
    kind, platform = str(devices[0].device_kind), devices[0].platform
    name = next((name for part, name in _LOCAL.items() if part in kind.lower()), None) if platform != "cpu" else None
    if name is not None:
        chip = CHIPS[name]
        return Topology("local", chip, len(devices), min(len(devices), chip.node))
    memory = float("inf")
    if platform == "cpu" and hasattr(os, "sysconf"):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / len(devices)
    nan = float("nan")
    chip = Chip(kind, "cpu" if platform == "cpu" else "gpu", nan, memory, nan, nan, None, len(devices), "this machine")
    return Topology("local", chip, len(devices), len(devices))


def can_compile(topology: Topology) -> bool:
    """Return whether programs for this machine can be compiled here: TPUs, where libtpu is installed."""
    return topology.chip.name in COMPILED and importlib.util.find_spec("libtpu") is not None


def tpu_devices(topology: Topology) -> Sequence[Any]:
    """Return the devices of a TPU slice that is not here, to compile for.

    Raises:
        UserError: libtpu does not know the slice.
    """
    kind = "v5litepod" if topology.chip.name == "v5e" else topology.chip.name
    # libtpu would else look for the slice in the metadata of a machine in Google Cloud, and wait.
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    os.environ.setdefault("TPU_ACCELERATOR_TYPE", f"{kind}-{topology.name.rpartition('-')[2]}")
    os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
    # No chip is touched, so another process may have it, or compile too.
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    from jax.experimental import topologies

    try:
        found = topologies.get_topology_desc(f"{topology.chip.name}:{topology.shape}", platform="tpu").devices
    except Exception as error:  # of the C++ below, whose classes are not public
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise UserError(f"--on {topology.name}: libtpu cannot describe this slice ({reason}); give another.") from None
    if len(found) != topology.count:
        raise UserError(f"--on {topology.name}: libtpu has {len(found)} devices for it, not {topology.count}.")
    return found
