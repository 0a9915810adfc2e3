"""The pictures show the numbers they are made of, and the same numbers give the same file."""

import numpy as np
import pytest
from matplotlib.image import imread

from serjax.evaluation.history import chosen_histories, kept_row
from serjax.evaluation.plots import PANELS, confusion_figure, curves_figure, save_png


@pytest.mark.parametrize("classes", [2, 4, 20])
def test_cells_hold_counts_and_shares(make_run, classes):
    report = make_run(labels=tuple(f"emotion {c}" for c in range(classes))).report
    (axes,) = confusion_figure(report).axes
    counts = np.array(report["confusion"])
    cells = {tuple(map(int, text.get_position()[::-1])): text.get_text().split("\n") for text in axes.texts}
    assert len(cells) == classes**2
    for place, count in np.ndenumerate(counts):
        assert int(cells[place][0]) == count
        if count:
            assert cells[place][1] == f"{100 * count / counts[place[0]].sum():.0f} %"
    assert [tick.get_text() for tick in axes.get_yticklabels()] == report["labels"]
    assert f"UA {100 * report['out_of_fold']['ua']['score']:.1f} %" in axes.get_title()


def test_a_class_without_clips_and_odd_names_can_be_drawn(make_run, tmp_path):
    report = make_run(labels=("a$b$", "under_score", "long name of an emotion")).report
    report["confusion"][0] = [0, 0, 0]
    figure = confusion_figure(report)
    save_png(tmp_path / "confusion.png", figure)
    (axes,) = figure.axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == report["labels"]
    assert [text.get_text() for text in axes.texts[:3]] == ["0"] * 3
    assert not np.asarray(axes.images[0].get_array())[0].any()


@pytest.mark.parametrize("folds", [1, 5, 24])
def test_curves_are_a_line_a_fold_and_their_mean(make_run, folds):
    histories = chosen_histories(make_run(folds=folds, speakers=24).history)
    figure = curves_figure(histories)
    for key, axes in zip(PANELS, figure.axes, strict=True):
        lines = {line.get_label(): line for line in axes.get_lines()}
        for fold, rows in histories.items():
            np.testing.assert_array_equal(lines[f"fold {fold}"].get_ydata(), [row[key] for row in rows])
        dots = [
            line.get_xydata()[0].tolist()
            for line in axes.get_lines()
            if line.get_marker() == "o" and len(line.get_xdata())
        ]
        bests = [kept_row(rows) for _, rows in sorted(histories.items())]
        assert dots == [[best["epoch"], best[key]] for best in bests]
        assert ("mean" in lines) == (folds > 1)
        if folds > 1:
            shared = min(map(len, histories.values()))
            means = [np.mean([rows[epoch][key] for rows in histories.values()]) for epoch in range(shared)]
            np.testing.assert_allclose(lines["mean"].get_ydata(), means)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(names) <= 8
    assert names[-1] == "kept epoch"


def test_a_null_is_a_gap(make_run, tmp_path):
    history = make_run().history
    history[7]["validation_loss"] = None
    figure = curves_figure(chosen_histories(history))
    save_png(tmp_path / "curves.png", figure)
    axes = dict(zip(PANELS, figure.axes, strict=True))["validation_loss"]
    gaps = {line.get_label(): int(np.isnan(line.get_ydata()).sum()) for line in axes.get_lines()}
    assert gaps[f"fold {history[7]['fold']}"] == 1
    assert sum(gaps[f"fold {fold}"] for fold in range(1, 6)) == 1


def test_one_epoch_can_be_drawn(make_run, tmp_path):
    first = [row for row in make_run().history if row["epoch"] == 1]
    save_png(tmp_path / "curves.png", curves_figure(chosen_histories(first)))
    assert imread(tmp_path / "curves.png").std() > 0.01


def test_the_same_numbers_give_the_same_bytes(make_run, tmp_path):
    for name in ("one.png", "two.png"):
        save_png(tmp_path / name, confusion_figure(make_run().report))
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"one.png", "two.png"}
