"""Settings of speech encoders: what is frozen, what a report says, and what a model starts from."""

import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from jax.interpreters.partial_eval import dce_jaxpr

from serjax.models.base import Checkpoint, EncoderLayout, Resolution
from serjax.models.encoders.build import build_encoder
from serjax.models.encoders.config import preset
from serjax.models.functional import abstract
from serjax.models.speech import Speech
from serjax.runtime.constraints import validate
from serjax.runtime.errors import UserError

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


@pytest.mark.parametrize(("size", "norm"), [("base", {"norm"}), ("large", set())])
def test_what_stands_above_the_chosen_layer_is_not_trained(size, norm):
    layout = EncoderLayout(preset("hubert", size))
    last = layout.config.num_hidden_layers
    trained = {"cnn", "head"} | norm
    for layer, more in ((1, {"first"}), (0, set()), (last, {"first", "second", "norm"}), (-last, {"first"})):
        config = Speech(freeze="nothing", layer=layer).resolved(Resolution(1.0, layout))
        assert {name for name, path in PATHS.items() if config.trainable(path)} == trained | more


@pytest.mark.parametrize("family", ["emotion2vec", "sew", "wav2vec2-bert", "wav2vec2-conformer", "whisper"])
def test_what_stands_above_a_layer_is_what_the_layer_does_not_hang_on(family):
    config = preset(family, "tiny")
    graphdef, state = nnx.split(abstract(lambda rngs: build_encoder(config, rngs=rngs)))
    paths, leaves = zip(*nnx.to_flat_state(state), strict=True)
    wave, lengths = jnp.zeros((1, 4000)), jnp.array([4000])

    def states(leaves):
        model = nnx.merge(graphdef, nnx.from_flat_state(list(zip(paths, leaves, strict=True))))
        return [model(wave, lengths).hidden_states[layer] for layer in (1, -1)]

    traced = jax.make_jaxpr(states)(leaves).jaxpr
    low, high = (
        {path for path, used in zip(paths, dce_jaxpr(traced, wanted)[1], strict=True) if used}
        for wanted in ([True, False], [False, True])
    )
    settings = Speech(freeze="nothing", layer=1, layout=EncoderLayout(config))
    trained = {path for path in paths if settings.trainable(("speech_encoder", *path))}
    assert high - low
    assert not trained & (high - low)
    assert all(path in trained or config.is_fixed(path) for path in low)


def test_a_layer_is_counted_from_either_end_and_others_are_named():
    layout = EncoderLayout(preset("whisper", "tiny"))
    for layer, found in {None: None, 0: 0, 3: 3, 4: None, -1: None, -2: 3, -5: 0}.items():
        assert Speech(layer=layer).resolved(Resolution(1.0, layout)).layer == found
    for layer in (99, 5, -6):
        expected = (
            f"--model.layer {layer}: the encoder has layers 0 (the first block's input) to 4 (the last block's "
            "output); give one of them, or -5 to -1 from the end."
        )
        with pytest.raises(UserError, match=f"^{re.escape(expected)}$"):
            Speech(layer=layer).resolved(Resolution(1.0, layout))
    with pytest.raises(UserError, match=r"model\.layer is 3, but model\.weighted_layers sums all"):
        validate(Speech(layer=3, weighted_layers=True))
