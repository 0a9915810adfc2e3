"""Settings of speech encoders: what is frozen, what a report says, and what a model starts from."""

from dataclasses import replace

import pytest

from serjax.models.base import Checkpoint, EncoderLayout
from serjax.models.encoders.config import preset
from serjax.models.speech import Speech

LAYER = ("speech_encoder", "encoder", "layers")
PATHS = {
    "cnn": ("speech_encoder", "feature_extractor", "conv_layers", 0, "conv", "kernel"),
    "first": (*LAYER, 0, "attention", "q_proj", "kernel"),
    "second": (*LAYER, 1, "attention", "q_proj", "kernel"),
    "norm": ("speech_encoder", "encoder", "layer_norm", "scale"),
    "head": ("head", "classifier", "kernel"),
}


@pytest.mark.parametrize(
    ("freeze", "size", "trained"),
    [
        ("nothing", "base", {"cnn", "first", "second", "norm", "head"}),
        ("cnn", "base", {"first", "second", "norm", "head"}),
        ("layers", "base", {"second", "head"}),
        ("layers", "large", {"second", "norm", "head"}),
        ("encoder", "base", {"head"}),
    ],
)
def test_freezing_leaves_these_parameters_to_training(freeze, size, trained):
    layout = EncoderLayout(preset("hubert", size))
    config = Speech(freeze=freeze, frozen_layers=1, layout=layout)
    assert {name for name, path in PATHS.items() if config.trainable(path)} == trained
    assert not config.trainable(("banks", "noise", "wave"))


def test_auto_freezes_the_convolutions_of_a_checkpoint_alone():
    assert (Speech(checkpoint="x").frozen, Speech(size="tiny").frozen) == ("cnn", "nothing")
    assert Speech(checkpoint="x").checkpoints == (Checkpoint("encoder", "x", "speech_encoder."),)
    assert Speech(checkpoint="x", size="tiny").checkpoints == ()


def test_a_frozen_encoder_takes_no_augmentation_and_one_stage():
    trained = Speech(checkpoint="x")
    frozen = trained.heads_only()
    assert (trained.augmentations, frozen.augmentations) == ({"waves", "channel", "mixup"}, frozenset())
    assert (trained.two_stages, frozen.two_stages) == (True, False)


def test_the_summary_names_the_start_and_the_frozen_part():
    config = Speech(family="wavlm", size="tiny", freeze="layers", frozen_layers=2, pooling="mean", head="linear")
    assert config.summary == (
        "Encoder: wavlm from random weights of size tiny; pooling mean, head linear; frozen: 2 layers"
    )
    assert replace(config, size=None, checkpoint="mine").summary.startswith("Encoder: wavlm from `mine`;")
