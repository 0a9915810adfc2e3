"""Weak scaling: layouts that do not talk lose nothing but idle devices; the page's table is what the script makes."""

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from serjax.runs.planning.roofline import Work
from serjax.runs.planning.scaling import LAYOUTS, scaling_figure, scaling_rows, scaling_table
from serjax.runs.planning.topology import find_topology

WORKS = {"small": Work(1e12, 0, 1e8, 1), "wide": Work(1e12, 0, 1e9, 1)}
MACHINES = [find_topology(name) for name in ("v5e-16", "h100x8", "h100x8x4")]
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def rows():
    return {(row.size, row.machine, row.layout): row for row in scaling_rows(WORKS, MACHINES)}


def test_trials_across_do_not_talk(rows):
    for size in WORKS:
        for machine in MACHINES:
            found = rows[size, machine.name, LAYOUTS[0]]
            assert (found.exposed, found.hidden, found.idle) == (1, 1, 0)
            assert found.exposed >= 0.9


def test_five_folds_leave_devices_idle(rows):
    assert rows["small", "h100x8", LAYOUTS[1]].idle == 3
    assert rows["small", "h100x8", LAYOUTS[1]].exposed == pytest.approx(5 / 8)
    assert rows["small", "v5e-16", LAYOUTS[1]].idle == 1
    # Six devices a fold would straddle nodes; four leave twelve idle.
    assert rows["small", "h100x8x4", LAYOUTS[1]].idle == 12


def test_more_bytes_and_a_network_cost_more(rows):
    for machine in MACHINES:
        small, wide = (rows[size, machine.name, LAYOUTS[2]] for size in WORKS)
        assert wide.exposed < small.exposed <= small.hidden <= 1
    assert rows["wide", "h100x8x4", LAYOUTS[2]].exposed < rows["wide", "h100x8", LAYOUTS[2]].exposed


def test_the_table_has_a_line_for_each_machine(rows):
    text = scaling_table(list(rows.values()))
    assert len(text.splitlines()) == 2 + len(WORKS) * len(MACHINES)
    assert "| small | h100x8 | 1.00 / 1.00 | 0.62 / 0.62, 3 idle |" in text


def test_the_picture_has_a_panel_for_each_family_and_encoder(rows):
    figure = scaling_figure(list(rows.values()), {"TPU": ("v5e-16",), "H100": ("h100x8", "h100x8x4")})
    assert [axes.get_title() for axes in figure.axes] == ["small, TPU", "small, H100", "wide, TPU", "wide, H100"]
    assert len(figure.axes[1].lines) == 2 * len(LAYOUTS) + 1


@pytest.mark.slow
def test_the_page_is_what_the_script_makes():
    spec = spec_from_file_location("scaling_page", ROOT / "docs" / "hooks" / "scaling.py")
    script = module_from_spec(spec)
    spec.loader.exec_module(script)
    works = {size: script.work(size) for size in script.SIZES}
    written = re.search(r"\n## Figures\n\n(.*?)(?=\n## )", script.PAGE.read_text(), re.S)[1]
    assert written == script.section(works, script.rows(works))
