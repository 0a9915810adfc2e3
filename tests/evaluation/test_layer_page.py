"""The page of probes, its table, and the section of a model card on a learned sum."""

import json

import numpy as np
import pytest
from little_layers import make_layers
from rich.console import Console

from serjax.evaluation.layer_page import WEIGHTS, layer_tables, page, save_weights, weights_section, write_layers
from serjax.evaluation.layer_report import weights_report


@pytest.fixture
def report():
    return make_layers((0.9, None, 0.5), (0.8, None, 0.5))[0]


def test_the_table_marks_the_chosen_layer_and_has_every_other(report):
    console = Console(width=80)
    with console.capture() as captured:
        console.print(layer_tables(report))
    lines = captured.get().splitlines()
    ua = report["layers"][0]["scores"]["ua"]
    row = next(line for line in lines if line.strip().startswith("0 *"))
    assert f"80.0  {100 * ua['score']:.1f}  {100 * ua['low']:.1f} to {100 * ua['high']:.1f}" in row
    assert next(line for line in lines if line.strip().startswith("1")).split() == ["1", *"-----"]
    assert "Layer 0 less layer 2, the last one, in points: WA +" in captured.get()


def test_the_page_says_how_it_was_made(report, tmp_path):
    assert write_layers(tmp_path, report) == ["README.md", "layers.png", "report.json"]
    assert json.loads((tmp_path / "report.json").read_text()) == report
    text = (tmp_path / "README.md").read_text()
    assert text == page(report)
    assert "60 clips of tones (angry, happy, sad)" in text
    assert "- By &lt;name>." in text
    assert "layers tiny" in text
    assert (tmp_path / "layers.png").stat().st_size > 5_000


def test_a_run_without_a_learned_sum_has_no_section(tmp_path):
    for plain in ({}, {"layer_weights": None}):
        assert weights_section(plain) == []
        save_weights(tmp_path, plain)
    assert not any(tmp_path.iterdir())
    found = {"layer_weights": weights_report({(1, 0): np.zeros(4)})}
    assert f"]({WEIGHTS})" in "".join(weights_section(found))
    save_weights(tmp_path, found)
    assert (tmp_path / WEIGHTS).stat().st_size > 5_000
