"""The model of time on paper: as by hand, and monotone in what it should be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serjax.runs.planning.roofline import BACKWARD, Work, efficiency, reduce_seconds, times
from serjax.runs.planning.topology import find_topology

NODE, NODES, SLICE = find_topology("h100x8"), find_topology("h100x8x4"), find_topology("v5e-8")


def test_a_ring_within_a_node():
    assert reduce_seconds(450e9, 8, NODE) == pytest.approx(2 * 7 / 8)
    assert reduce_seconds(100e9, 2, SLICE) == pytest.approx(1)
    assert reduce_seconds(1e9, 1, NODE) == 0


def test_between_nodes_every_device_reduces_its_own_part():
    near = 2 * 7 / 8 * 8e9 / 450e9
    assert reduce_seconds(8e9, 32, NODES) == pytest.approx(near + 2 * 3 / 4 * 1e9 / 50e9)


def test_times_of_a_step():
    found = times(Work(flops=197e12, memory=819e9, reduced=100e9, across=8), SLICE, utilization=0.5)
    assert found == pytest.approx((2, 1, 1.75))
    assert found.bound == "compute"
    assert found.step() == pytest.approx(3.75)
    assert found.step(overlap=BACKWARD) == pytest.approx(2 + 1.75 - 2 * BACKWARD)
    assert found.step(overlap=1) == pytest.approx(2)


def test_split_parameters_are_gathered_twice_and_their_gradients_scattered():
    work = Work(1e12, 1e9, reduced=80e9, across=2, gathered=200e9, shard=4)
    # Each device adds up its quarter of the gradients with one peer.
    assert work.bytes_sent == pytest.approx(3 / 4 * (400e9 + 80e9) + 20e9)
    assert times(work, SLICE).links == pytest.approx(work.bytes_sent / 100e9)
    alone = work._replace(across=1)
    assert times(alone, NODES).links == pytest.approx(3 / 4 * 480e9 / 450e9)
    # Of eight devices in a node two hold the same part, the other six of its holders are in other nodes.
    far = times(work._replace(across=8), NODES).links - times(alone, NODES).links
    assert far == pytest.approx(2 * 1 / 2 * 20e9 / 450e9 + 2 * 3 / 4 * 10e9 / 50e9)


def test_bytes_that_a_program_sends_come_first():
    work = Work(1e12, 1e9, reduced=100e9, across=8)
    assert times(work._replace(sent=50e9), SLICE).links == pytest.approx(0.5)


def test_efficiency_without_talk_is_what_is_not_idle():
    assert efficiency(Work(1e12, 0, 0, 1), NODE) == 1
    assert efficiency(Work(1e12, 0, 0, 1), NODE, idle=2) == pytest.approx(0.75)


@given(st.floats(1e9, 1e15), st.floats(0, 1e11), st.integers(1, 32), st.floats(0, 1), st.floats(0.1, 1))
def test_efficiency_is_a_share_that_falls_with_bytes_and_grows_with_overlap(flops, size, across, overlap, utilization):
    work = Work(flops, 0, size, across)
    found = efficiency(work, NODES, overlap=overlap, utilization=utilization)
    assert 0 < found <= 1 + 1e-9
    assert efficiency(work._replace(reduced=2 * size), NODES, overlap=overlap, utilization=utilization) <= found + 1e-9
    assert efficiency(work, NODES, overlap=0, utilization=utilization) <= found + 1e-9
