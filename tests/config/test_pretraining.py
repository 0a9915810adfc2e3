"""Settings of pretrainings: those that come with serjax, and combinations that are refused."""

import pytest
from tiny_pretraining import small

from serjax.config.pretraining import AlignConfig, LabelsConfig, PretrainExperiment, StartConfig, TaptConfig
from serjax.config.registry import find, names
from serjax.runtime.constraints import from_json, to_json, validate
from serjax.runtime.errors import UserError
from serjax.training.config import MaskedConfig


@pytest.mark.parametrize("name", names(PretrainExperiment))
def test_experiments_of_pretraining_are_valid_and_survive_json(name):
    experiment = find(name, PretrainExperiment)
    validate(experiment)
    assert experiment.name == name
    assert from_json(PretrainExperiment, to_json(experiment), "experiment.json") == experiment


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": LabelsConfig()}, r"labels\.of is layer, but the encoder starts from random weights"),
        ({"masked": MaskedConfig()}, r"masked\.feature_grad_mult is 0, which freezes the convolutions"),
        ({"masked": MaskedConfig(updates=0)}, r"masked\.updates is 0; it must be 1 or more"),
        ({"model": StartConfig()}, "both missing"),
        (
            {"model": StartConfig(checkpoint="x", normalize=False)},
            r"model\.normalize is False, but model\.size is missing",
        ),
        ({"steps": "cpt", "tapt": TaptConfig(corpus="unlabelled")}, "which fine-tunes"),
        ({"labels": LabelsConfig(of="mfcc", checkpoint="x")}, "leave out one of them"),
        ({"name": "a/b"}, "name is 'a/b'"),
        (
            {"masked": MaskedConfig(feature_grad_mult=0.1, shortest=3.0, longest=2.0)},
            r"masked\.shortest is 3; it must be",
        ),
        (
            {"steps": "cpt", "align": AlignConfig(labels=LabelsConfig(of="mfcc"))},
            r"align\.labels\.checkpoint or align\.labels\.of is given",
        ),
        ({"steps": "cpt"}, r"masked\.feature_grad_mult is 0"),
    ],
)
def test_impossible_pretraining_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        validate(small("recordings", "runs", **changes))
