"""Shares of layers are read from the models of a run, whatever keys they lie under."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from saved_runs import FROZEN, SPEECH, write_run

from serjax.runs.layer_weights import read_layer_weights


@pytest.mark.parametrize(
    "model", [replace(SPEECH, weighted_layers=True), replace(FROZEN, pooling="attentive", weighted_layers=True)]
)
def test_shares_are_those_of_the_models(tmp_path, model, caplog):
    with caplog.at_level("INFO", "serjax"):
        members, _ = write_run(tmp_path / "run", model)
        found = read_layer_weights(tmp_path / "run")
    assert [(one["fold"], one["seed"]) for one in found["members"]] == [(1, 0), (2, 0)]
    for one, member in zip(found["members"], members.values(), strict=True):
        np.testing.assert_allclose(one["shares"], jax.nn.softmax(member.head.layer_weights[...]), rtol=1e-6)
    assert "Largest shares of the learned sum of 2 layers" in caplog.text


def test_a_run_without_a_sum_has_none(tmp_path):
    write_run(tmp_path / "run", SPEECH)
    assert read_layer_weights(tmp_path / "run") is None
