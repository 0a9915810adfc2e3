"""Reports on probes of made-up layers."""

import json

from little_report import answers

from serjax.evaluation.layer_report import Probed, layer_report

SETTINGS = {"seed": 3, "train": {"epochs": 2, "seeds": 2, "learning_rates": [1e-3]}}


def make_layers(shares, validation, *, named=True):
    """A report on layers with about such shares of right answers, and their probes; None: the probe has none."""
    probes = []
    for layer, (share, value) in enumerate(zip(shares, validation, strict=True)):
        found = None if share is None else [answers(share, seed=layer + seed, named=named) for seed in (0, 9)]
        probes.append(Probed(layer, found, value))
    report = layer_report(
        SETTINGS, probes, encoder="tiny", corpus=("tones", "By <name>."), command="layers tiny", notes=("A note.",)
    )
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    return report, probes
