"""Pictures of layers: every layer has its point or bar, and a layer without scores is a gap."""

import numpy as np

from serjax.evaluation.layer_plots import probes_figure, weights_figure
from serjax.evaluation.layer_report import weights_report

ROW = {"score": 0.5, "low": 0.4, "high": 0.7}


def test_the_curve_has_every_layer_its_interval_and_the_chosen_one():
    scores = ({"ua": ROW}, None, {"ua": ROW | {"score": 0.6}})
    rows = [{"layer": layer, "scores": one} for layer, one in enumerate(scores)]
    report = {"layers": rows, "chosen": 2, "chance": 0.25, "encoder": "a $1 encoder", "interval": {"level": 0.95}}
    (axes,) = probes_figure(report).axes
    curve, chance, chosen = axes.lines
    np.testing.assert_array_equal(curve.get_ydata(), [50, np.nan, 60])
    assert (chance.get_ydata()[0], chosen.get_xdata(), chosen.get_ydata()) == (25, [2], [60])
    corners = axes.collections[0].get_paths()[0].vertices
    assert (corners[:, 1].min(), corners[:, 1].max()) == (40, 70)


def test_bars_are_means_and_dots_are_members():
    found = weights_report({(1, 0): np.array([0.0, 1.0]), (2, 0): np.array([1.0, 0.0])})
    figure = weights_figure(found)
    (axes,) = figure.axes
    assert [bar.get_height() for bar in axes.patches] == [50, 50]
    *dots, equal = axes.lines
    np.testing.assert_allclose(dots[0].get_ydata() + dots[1].get_ydata(), 100)
    assert equal.get_ydata()[0] == 50
    figure.draw_without_rendering()
