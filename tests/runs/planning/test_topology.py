"""Machines by name: slices count cores where Google does, nodes are whole, others are refused in a sentence."""

from types import SimpleNamespace

import jax
import pytest

from serjax.runs.planning.topology import can_compile, find_topology, local_topology
from serjax.runtime.errors import UserError


@pytest.mark.parametrize(
    ("name", "chip", "count", "node", "shape"),
    [
        ("v5e-16", "v5e", 16, 16, "4x4"),
        ("v6e-8", "v6e", 8, 8, "2x4"),
        ("v5p-8", "v5p", 4, 4, "2x2x1"),
        ("v4-16", "v4", 8, 8, "2x2x2"),
        ("h100x8", "h100", 8, 8, ""),
        ("a100x4x3", "a100", 12, 4, ""),
    ],
)
def test_a_machine_by_name(name, chip, count, node, shape):
    found = find_topology(name)
    assert (found.chip.name, found.count, found.node, found.shape) == (chip, count, node, shape)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("v9-8", "no such topology"),
        ("h100-8", "no such topology"),
        ("v5ex8", "no such topology"),
        ("", "no such topology"),
        ("v5e-7", "no v5e slice of 7; give one of 1, 4, 8"),
        ("v5p-6", "give one of 8, 16"),
        ("h100x9", "a node has 1 to 8"),
        ("h100x8x0", "h100x8xN"),
    ],
)
def test_a_machine_that_there_is_not(name, told):
    with pytest.raises(UserError, match=told):
        find_topology(name)


def test_gpus_are_not_compiled_for():
    assert not can_compile(find_topology("h100x8"))
    assert not can_compile(find_topology("v4-8"))


@pytest.mark.parametrize(
    ("kind", "platform", "chip"),
    [("TPU v5 lite", "tpu", "v5e"), ("TPU v5p", "tpu", "v5p"), ("NVIDIA H100 80GB HBM3", "gpu", "h100")],
)
def test_devices_at_hand_with_published_figures(kind, platform, chip):
    found = local_topology([SimpleNamespace(device_kind=kind, platform=platform)] * 2)
    assert (found.name, found.chip.name, found.count) == ("local", chip, 2)


def test_a_cpu_at_hand_has_memory_and_no_figures():
    found = local_topology(jax.devices())
    assert found.chip.kind == "cpu"
    assert found.chip.memory > 1e8
    assert found.chip.flops != found.chip.flops
