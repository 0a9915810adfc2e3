"""Figures of chips: derived ones follow from the published, and every chip has its source."""

import pytest

from serjax.runs.planning.chips import CHIPS


def test_a_ring_uses_two_ports_of_a_tpu_and_one_direction_of_nvlink():
    # v5e: 1600 Gbit/s over four ports; v5p: 4800 over six; H100: 900 GB/s both ways.
    assert CHIPS["v5e"].ring == pytest.approx(100e9)
    assert CHIPS["v5p"].ring == pytest.approx(200e9)
    assert CHIPS["h100"].ring == pytest.approx(450e9)
    assert CHIPS["h100"].network == pytest.approx(50e9)


@pytest.mark.parametrize("chip", CHIPS.values(), ids=lambda chip: chip.name)
def test_every_chip_has_figures_and_a_source(chip):
    assert chip.source
    assert min(chip.flops, chip.memory, chip.bandwidth, chip.ring, chip.node) > 0
    assert (chip.network is None) == (chip.kind == "tpu")
