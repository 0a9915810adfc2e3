"""Comparisons as files: every number of them is that of the comparison, in each form."""

import csv
import io
import json
import re

import numpy as np
import pytest
from matplotlib.image import imread

from serjax.evaluation.comparison import Pair, compare, compare_pairs
from serjax.evaluation.comparison_files import (
    FILES,
    as_csv,
    as_json,
    as_latex,
    differences_figure,
    short_names,
    write_comparisons,
)
from serjax.evaluation.metrics import METRICS
from serjax.evaluation.out_of_fold import OutOfFold
from serjax.runtime.errors import UserError

LABELS = ("sad", "glad")


def answers(right, speakers=True):
    """Answers that are right for the clips in `right`, of 40."""
    clips = np.arange(40)
    label = clips % 2
    answer = np.where(np.isin(clips, right), label, 1 - label)
    return OutOfFold(
        tuple(f"{clip}" for clip in clips),
        clips % 4 + 1,
        label,
        np.eye(2, dtype=np.float32)[answer],
        tuple(f"{clip // 5}" if speakers else None for clip in clips),
        LABELS,
    )


@pytest.fixture(scope="module")
def pairs():
    runs = [
        ("runs/all_right", answers(range(40))),
        ("runs/half", answers(range(20))),
        ("other/even", answers(range(20))),
    ]
    return compare_pairs(runs, None, seed=0)


def test_json_has_all_numbers(pairs):
    found = json.loads(as_json(pairs, seed=7))
    assert (found["level"], found["draws"], found["seed"]) == (0.95, 2000, 7)
    for entry, pair in zip(found["comparisons"], pairs, strict=True):
        assert (entry["run"], entry["to"], entry["clips"]) == (pair.ours, pair.theirs, 40)
        assert tuple(entry["speakers"].values()) == pair.found.speakers
        for metric in METRICS:
            assert tuple(entry["run_scores"][metric].values()) == pair.found.ours[metric]
            assert tuple(entry["to_scores"][metric].values()) == pair.found.theirs[metric]
            assert tuple(entry["difference"][metric].values()) == pair.found.difference[metric]


def test_csv_has_all_numbers(pairs):
    rows = list(csv.DictReader(io.StringIO(as_csv(pairs))))
    assert [(row["run"], row["to"], row["metric"]) for row in rows] == [
        (pair.ours, pair.theirs, metric) for pair in pairs for metric in METRICS
    ]
    for row, (pair, metric) in zip(rows, ((pair, metric) for pair in pairs for metric in METRICS), strict=True):
        for part, scored in (
            ("run", pair.found.ours),
            ("to", pair.found.theirs),
            ("difference", pair.found.difference),
        ):
            assert tuple(float(row[f"{part}_{end}"]) for end in ("score", "low", "high")) == scored[metric]
        assert row["clips"] == "40"


def test_latex_is_a_table_with_escaped_names_and_bold_where_0_lies_outside(pairs):
    lines = as_latex(pairs).splitlines()
    rows = [line for line in lines if line.endswith(r"\\") and "Compared" not in line]
    assert len(rows) == len(pairs)
    assert rows[0].startswith(r"all\_right & half & 100.0 & $\mathbf{+50.0}$ [$")
    # Half and even are the same answers: no difference.
    assert rows[2].startswith("half & even & 50.0 & $+0.0$ [$0.0$, $0.0$]")
    assert {line.count("&") for line in lines if line.endswith(r"\\")} == {1 + 2 * len(METRICS)}
    columns = re.search(r"begin\{tabular\}\{(\w+)\}", as_latex(pairs))[1]
    assert len(columns) == 2 + 2 * len(METRICS)


def test_the_picture_has_each_difference_and_its_interval(pairs):
    panels = differences_figure(pairs).axes
    assert [axes.get_title() for axes in panels] == ["WA", "UA", "macro-F1"]
    for metric, axes in zip(METRICS, panels, strict=True):
        _, *lines = axes.lines
        for row, pair in enumerate(pairs):
            interval, dot = lines[2 * row : 2 * row + 2]
            difference, low, high = (100 * value for value in pair.found.difference[metric])
            assert list(interval.get_xdata()) == [low, high]
            assert (list(dot.get_xdata()), list(dot.get_ydata())) == ([difference], [row])
            assert (dot.get_markerfacecolor() == "white") == (low <= 0 <= high)


@pytest.mark.parametrize("speakers", [True, False])
def test_the_picture_says_what_was_drawn(speakers):
    one, two = answers(range(40), speakers), answers(range(20), speakers)
    figure = differences_figure([Pair("a", "b", compare(("a", one), ("b", two), seed=0))])
    assert f"bootstrap over {'speakers' if speakers else 'clips'};" in figure.get_suptitle()


def test_joined_runs_stand_in_brackets(pairs):
    figure = differences_figure([Pair("x/a", "x/b + x/c", pairs[0].found)])
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["a − (b + c)"]  # noqa: RUF001


def test_names_are_short_where_they_differ(pairs):
    assert set(short_names(pairs).values()) == {"all_right", "half", "even"}
    found = pairs[0].found
    assert set(short_names([Pair("x/run", "y/run", found)]).values()) == {"x/run", "y/run"}
    assert set(short_names([Pair("x/a + x/b", "y/c/oof.csv", found)]).values()) == {"a + b", "c"}


def test_files_are_written_and_kept(tmp_path, pairs):
    write_comparisons(tmp_path / "new" / "folder", pairs, seed=0)
    assert {path.name for path in (tmp_path / "new" / "folder").iterdir()} == set(FILES)
    assert imread(tmp_path / "new" / "folder" / "comparison.png").shape[1] > 1000
    with pytest.raises(UserError, match="an earlier comparison is there"):
        write_comparisons(tmp_path / "new" / "folder", pairs, seed=0)
    write_comparisons(tmp_path / "new" / "folder", pairs[:1], seed=0, overwrite=True)
    assert len(json.loads((tmp_path / "new" / "folder" / FILES[0]).read_text())["comparisons"]) == 1
