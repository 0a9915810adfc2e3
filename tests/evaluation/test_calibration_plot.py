"""The reliability diagram shows the bins of the report."""

import pytest

from serjax.evaluation.calibration_plot import FEW, reliability_figure, run_panels
from serjax.evaluation.plots import COLOURS, save_png


@pytest.mark.parametrize("validation", ["train", "test"])
def test_bars_and_dots_are_the_bins(make_run, tmp_path, validation):
    found = make_run(validation=validation).report["calibration"]
    panels = run_panels(found)
    assert list(panels) == (["as trained", "calibrated"] if validation == "train" else ["as trained"])
    figure = reliability_figure(panels)
    above, below = figure.axes[: len(panels)], figure.axes[len(panels) :]
    for axes, counts, one in zip(above, below, panels.values(), strict=True):
        filled = [bin_ for bin_ in one["reliability"] if bin_["clips"]]
        total = sum(bin_["clips"] for bin_ in filled)
        bars = [bar for bar in axes.patches if bar.get_width()]
        assert [bar.get_height() for bar in bars] == [bin_["accuracy"] for bin_ in filled]
        pale = [bar.get_facecolor() != bars_colour(COLOURS[0]) for bar in bars]
        assert pale == [bin_["clips"] < FEW for bin_ in filled]
        shown = [bar.get_height() for bar in counts.patches]
        assert shown == pytest.approx([100 * bin_["clips"] / total for bin_ in filled])
        (dots,) = (line for line in axes.get_lines() if line.get_marker() == "o")
        assert list(dots.get_xdata()) == [bin_["confidence"] for bin_ in filled]
        assert f"ECE {100 * one['ece']:.1f} %" in axes.get_title()
    keys = {key.get_label(): key for key in figure.legends[0].get_patches()}
    shown = [keys[name].get_facecolor() for name in ("accuracy", f"of fewer than {FEW} clips")]
    assert shown == [bars_colour(COLOURS[0]), bars_colour(COLOURS[5])]
    for name in ("one.png", "two.png"):
        save_png(tmp_path / name, reliability_figure(panels))
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def bars_colour(name):
    from matplotlib.colors import to_rgba

    return to_rgba(name)
