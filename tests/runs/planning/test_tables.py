"""Tables of a plan: marks, collectives by kind, and what fits."""

from dataclasses import replace

import pytest
from rich.console import Console

from serjax.config.experiment import Experiment
from serjax.models.spectrogram import Spectrogram
from serjax.runs.planning.collectives import Collective
from serjax.runs.planning.plan import Planner
from serjax.runs.planning.resolve import Extent, resolved
from serjax.runs.planning.tables import gib, plan_tables
from serjax.runs.planning.topology import find_topology

REDUCE, GATHER = Collective("all-reduce", 10**9, 2, ("data",)), Collective("all-gather", 10**8, 2, ("data",))


@pytest.fixture(scope="module")
def planner():
    what = resolved(Experiment("x", model=Spectrogram(family="audio_cnn")))
    return Planner(what, Extent(2, 100, 20, 3, ""), find_topology("h100x8"), utilization=0.4)


def lines(tables):
    console = Console(width=100)
    with console.capture() as captured:
        console.print(tables)
    return [" ".join(line.split()) for line in captured.get().splitlines()]


def test_meshes_are_marked(planner):
    plans = [planner.mesh(1, 2), planner.mesh(2, 1)]
    plans[0] = replace(plans[0], memory=1e12)
    found = lines(plan_tables(planner, plans, plans[1]))
    assert f"1 x 2 6 2 x 8 {gib(1e12)} too large" in found
    assert any(line.startswith("2 x 1 6 1 x 16") and line.endswith("best") for line in found)


def test_collectives_are_added_up_by_kind(planner):
    plans = [replace(planner.mesh(1, 2), collectives=(REDUCE, REDUCE, GATHER))]
    found = lines(plan_tables(planner, plans, None))
    assert "1 x 2 all-reduce 2 2 2 data" in found
    assert "1 x 2 all-gather 1 0.1 2 data" in found


def test_no_collectives(planner):
    plans = [replace(planner.mesh(2, 1), collectives=())]
    assert any("Nothing travels" in line for line in lines(plan_tables(planner, plans, plans[0])))
