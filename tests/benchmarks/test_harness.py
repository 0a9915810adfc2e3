"""The harness of the benchmarks: turns, ratios, processes of their own, tables and the files they are written to."""

import argparse
import importlib.util
import os
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def harness():
    spec = importlib.util.spec_from_file_location("harness", FOLDER / "harness.py")
    module = sys.modules["harness"] = importlib.util.module_from_spec(spec)  # another process finds it by this name
    sys.path.insert(0, str(FOLDER))
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(FOLDER))
    del sys.modules["harness"]


def cases():
    return {"process": os.getpid, "nothing": lambda: None}


def stopped():
    sys.exit("cannot start")


def test_sides_take_turns_and_change_their_order(harness):
    order = []
    turns = {name: lambda name=name: order.append(name) or float(len(order)) for name in "ab"}
    values = harness.in_turns({"case": turns}, 3)
    assert "".join(order) == "abbaab"
    assert values == {"case": {"a": [1, 4, 5], "b": [2, 3, 6]}}


def test_a_turn_is_the_median_of_its_calls_after_one_that_does_not_count(harness, monkeypatch):
    now, durations = [0.0], iter([100.0, 1.0, 5.0, 2.0])
    monkeypatch.setattr(harness.time, "perf_counter", lambda: now[0])
    assert harness.clock(lambda: now.append(now.pop() + next(durations)), 7.0) == 2.0
    assert next(durations, None) is None


def test_ratios_are_of_pairs_and_bold_only_below_one(harness):
    # The ratio of the medians is 1.
    assert harness.ratios([1, 2, 9], [2, 1, 18]) == "**0.50** (0.50 to 2.00)"
    assert harness.ratios([2.0], [1.0]) == "2.00"
    assert harness.ratios([0.999], [1.0]) == "1.00"


@pytest.mark.parametrize(
    ("values", "unit", "expected"),
    [
        ([0.1164, 0.1101, 0.12], "s", "116 ms (110 to 120)"),
        ([1234.5], "s", "1,234 s"),
        ([2e-5], "s", "20.0 µs"),
        ([2.054], "GiB", "2.05 GiB"),
        ([0.0], "", "0"),
    ],
)
def test_amounts_have_three_digits_and_a_unit(harness, values, unit, expected):
    assert harness.amounts(values, unit) == expected


def test_a_side_without_a_case_has_an_empty_cell(harness):
    table = harness.comparison(
        {"x": {"serjax": [1.0], "peer": [2.0]}, "y": {"serjax": [3.0]}}, more={"floor": {"x": "84%"}}
    )
    assert table.splitlines() == [
        "|  | serjax / peer | floor | serjax | peer |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| x | **0.50** | 84% | 1.00 s | 2.00 s |",
        "| y |  |  | 3.00 s |  |",
    ]


def test_missing_packages_are_a_sentence(harness):
    assert harness.installed({"serjax": [], "other": ["no_such_module"]}) == (
        ["serjax"],
        ["other is left out; it needs no_such_module."],
    )


def test_a_side_in_a_process_answers_and_times(harness):
    with harness.processes({"a": (cases,), "b": (cases,)}) as sides:
        assert len({os.getpid(), *(side.ask("process") for side in sides)}) == 3
        turns = harness.turns_of(sides, ["nothing", "absent"], 0.001)
        assert turns["absent"] == {}
        assert 0 < turns["nothing"]["b"]() < 1


def test_a_side_that_cannot_start_ends_the_benchmark(harness):
    with pytest.raises(SystemExit, match="a has stopped"), harness.processes({"a": (stopped,)}):
        pass


def test_the_table_is_printed_and_written_with_machine_and_command(harness, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["/somewhere/kmeans.py", "--rounds", "1"])
    harness.publish(["| a |", ""], argparse.Namespace(tables=tmp_path / "tables"), rate=433.2e9)
    text = (tmp_path / "tables" / "kmeans-400.md").read_text()
    assert text.startswith("`python benchmarks/kmeans.py --rounds 1`\n\n")
    assert "433 GFLOP/s" in text
    assert "jax 0." in text
    assert text.endswith(".\n\n| a |\n")
    assert text.strip() == capsys.readouterr().out.strip()
