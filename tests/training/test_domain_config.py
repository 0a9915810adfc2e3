"""Settings of domain adaptation: a kind and recordings go together, and models that cannot use them are refused."""

import pytest

from serjax.config.experiment import Experiment
from serjax.models.spectrogram import Spectrogram
from serjax.models.speech import Speech
from serjax.runtime.constraints import validate
from serjax.runtime.errors import UserError
from serjax.training.config import TrainConfig
from serjax.training.domain_config import DomainConfig


def test_no_adaptation_is_the_default():
    validate(DomainConfig())
    assert DomainConfig().kind == "none"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (DomainConfig("dann"), r"domain\.kind is dann, but domain\.root is not given; give both"),
        (DomainConfig("none", "folder"), r"domain\.root is folder, but domain\.kind is not given; give both"),
        (DomainConfig("coral", "folder", 0.0), r"weight is 0\.0; it must be above 0"),
        (DomainConfig("mmd", "folder"), r"kind is 'mmd'; it must be "),
    ],
)
def test_half_of_an_adaptation_is_refused(config, message):
    with pytest.raises(UserError, match=rf"^{message}"):
        validate(config)


@pytest.mark.parametrize("kind", ["dann", "coral"])
@pytest.mark.parametrize(
    "model", [Speech(), Speech(freeze="encoder", head="linear"), Spectrogram()], ids=["trained", "linear", "network"]
)
def test_a_hidden_layer_above_a_frozen_encoder_is_needed(kind, model):
    with pytest.raises(UserError, match=rf"^domain\.kind is {kind}, which adapts .*; give --model\.freeze encoder"):
        validate(Experiment("x", model=model, domain=DomainConfig(kind, "folder")))
    validate(Experiment("x", model=Speech(freeze="encoder"), domain=DomainConfig(kind, "folder")))


def test_coral_is_of_whole_batches():
    train = TrainConfig(batch_size=8, accumulate=2)
    settings = {"model": Speech(freeze="encoder"), "train": train}
    with pytest.raises(UserError, match=r"^domain\.kind is coral, .* but train\.accumulate is 2; leave it out"):
        validate(Experiment("x", domain=DomainConfig("coral", "folder"), **settings))
    validate(Experiment("x", domain=DomainConfig("dann", "folder"), **settings))
