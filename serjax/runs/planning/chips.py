"""Published figures of accelerators: what a plan reckons with."""

from dataclasses import dataclass
from typing import Literal

GB, TERA = 1e9, 1e12


@dataclass(frozen=True)
class Chip:
    """One accelerator, in its vendor's figures; all are peaks, and none was measured here.

    Attributes:
        name: such as v5e.
        kind: what JAX compiles for.
        flops: bfloat16 operations a second of its matrix units, without sparsity.
        memory: bytes.
        bandwidth: of that memory, in bytes a second.
        ring: bytes a second that it sends where chips reduce in a ring. A TPU does so by two of its ports, one each
            way round; a GPU by all its NVLinks in one direction.
        network: bytes a second to other nodes; None where links join all chips of a slice.
        node: chips that the links join, at most.
        source: of the figures.
    """

    name: str
    kind: Literal["tpu", "gpu", "cpu"]
    flops: float
    memory: float
    bandwidth: float
    ring: float
    network: float | None
    node: int
    source: str


def _tpu(name: str, tflops: float, gigabytes: float, bandwidth: float, gbps: float, ports: int, pod: int) -> Chip:
    """Return a TPU; `gbps` is what its ports send together, in gigabits a second."""
    ring = gbps / 8 * GB / ports * 2
    source = f"cloud.google.com/tpu/docs/{name}"
    return Chip(name, "tpu", tflops * TERA, gigabytes * GB, bandwidth * GB, ring, None, pod, source)


def _gpu(name: str, tflops: float, gigabytes: float, bandwidth: float, nvlink: float, network: float) -> Chip:
    """Return a GPU; `nvlink` counts both directions, as datasheets do, `network` is in gigabits a second."""
    source = f"NVIDIA {name.upper()} SXM datasheet; network of a DGX {name.upper()}"
    return Chip(
        name, "gpu", tflops * TERA, gigabytes * GB, bandwidth * GB, nvlink / 2 * GB, network / 8 * GB, 8, source
    )


CHIPS = {
    chip.name: chip
    for chip in (
        _tpu("v4", 275, 32, 1200, 2400, 6, 4096),
        _tpu("v5e", 197, 16, 819, 1600, 4, 256),
        _tpu("v5p", 459, 95, 2765, 4800, 6, 6144),
        _tpu("v6e", 918, 32, 1600, 3200, 4, 256),
        _gpu("a100", 312, 80, 2039, 600, 200),
        _gpu("h100", 989.4, 80, 3350, 900, 400),
        _gpu("h200", 989.4, 141, 4800, 900, 400),
    )
}
"""Accelerators by name. TPU: tables of each version's page; GPU: SXM modules, dense bfloat16, one adapter a GPU."""
