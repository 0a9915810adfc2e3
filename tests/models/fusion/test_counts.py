"""Exact numbers of parameters, and which of them train, in every fusion and stage."""

import re
from functools import cache

import pytest
from flax import nnx

from serjax.models.base import EncoderLayout, Resolution
from serjax.models.encoders.config import preset
from serjax.models.functional import abstract, count
from serjax.models.fusion.config import RATE_PATTERNS, Fusion
from serjax.models.spectrogram import Spectrogram
from serjax.models.speech import Speech
from serjax.runtime.constraints import validate
from serjax.runtime.errors import UserError
from serjax.training.optimizer import rate_factors

ENCODER = preset("wavlm", "base")
WAVLM, LAYER = 94_381_936, 7_088_404
AUDIO_HEAD, VIDEO_HEAD = 596_744, 4_104
RESNET, LAYER4 = 11_176_512, 8_393_728


@cache
def state_of(config):
    return nnx.state(abstract(lambda rngs: config.build(8, rngs=rngs)))


def trained(config):
    flat = nnx.to_flat_state(state_of(config))
    return nnx.from_flat_state([(path, leaf) for path, leaf in flat if config.trainable(path)])


def fusion(audio, kind, **options):
    branch = Speech(family="wavlm") if audio == "wavlm" else Spectrogram(family=audio)
    return Fusion(kind=kind, audio=branch, **options).resolved(Resolution(3.0, EncoderLayout(ENCODER)))


@pytest.mark.parametrize(
    ("audio", "kind", "options", "parameters"),
    [
        ("audio_resnet18", "late", {}, 23_965_840),
        ("audio_resnet18", "concat", {}, 24_263_576),
        ("audio_resnet18", "gated", {}, 24_263_833),
        ("audio_resnet18", "xattn", {"audio_path": "conv"}, 24_273_176),
        ("audio_resnet18", "xattn", {"audio_path": "conv", "head": "gated"}, 24_239_385),
        ("audio_resnet18", "xattn", {"audio_path": "sequence"}, 24_289_688),
        ("audio_resnet18", "xattn", {"audio_path": "sequence", "head": "gated"}, 24_255_897),
        ("audio_cnn", "late", {}, 11_336_368),
        ("audio_cnn", "concat", {}, 11_634_104),
        ("audio_cnn", "gated", {}, 11_634_361),
        ("wavlm", "late", {}, 106_159_296),
        ("wavlm", "concat", {}, 106_620_872),
        ("wavlm", "gated", {}, 106_621_129),
        ("wavlm", "xattn", {"audio_path": "conv"}, 106_736_968),
        ("wavlm", "xattn", {"audio_path": "sequence"}, 106_835_400),
        ("wavlm", "xattn", {"audio_path": "sequence", "head": "gated", "d_model": 96}, 106_607_241),
    ],
)
def test_parameters_are_as_many_as_the_seeds(audio, kind, options, parameters):
    config = fusion(audio, kind, **options)
    assert count(state_of(config)) == count(trained(config)) == parameters


def test_pieces_of_cross_attention_are_as_large_as_the_seeds():
    for audio, conv in (("audio_resnet18", 24_704), ("wavlm", 295_040)):
        pieces = state_of(fusion(audio, "xattn", audio_path="conv", head="gated"))["fusion"]
        assert {name: count(piece) for name, piece in pieces.items()} == {
            "video_in": 65_664,
            "audio_conv": conv,
            "audio_in": 16_512,
            "video_to_audio": 66_048,
            "audio_to_video": 66_048,
            "video_norm": 256,
            "audio_norm": 256,
            "gate": 33_025,
            "classifier": 1_032,
        }
    assert count(state_of(fusion("wavlm", "xattn"))["fusion"]["head"]) == 67_848


@pytest.mark.parametrize(
    ("kind", "options", "parameters"),
    [
        ("late", {}, 11_777_360),
        ("concat", {}, 12_238_936),
        ("gated", {}, 12_239_193),
        ("xattn", {"audio_path": "conv"}, 12_355_032),
    ],
)
def test_with_wavlm_frozen_the_rest_is_trained(kind, options, parameters):
    config = fusion("wavlm", kind, audio_layers=0, **options)
    assert count(trained(config)) == parameters
    two = fusion("wavlm", kind, audio_layers=2, **options)
    assert count(trained(two)) == parameters + 2 * LAYER
    # The bias of relative positions belongs to layer 0.
    every = fusion("wavlm", kind, audio_layers=12, **options)
    assert count(trained(every)) == parameters + 12 * LAYER + 3_840


@pytest.mark.parametrize(
    ("layers", "parameters"), [(0, 596_744), (2, 14_773_552), (4, 28_950_360), (None, WAVLM + AUDIO_HEAD)]
)
def test_the_audio_branch_trains_what_it_trains_alone(layers, parameters):
    config = fusion("wavlm", "gated", audio_layers=layers, video_blocks=0)
    assert count(trained(config)["audio"]) == parameters


@pytest.mark.parametrize("kind", ["late", "concat", "gated", "xattn"])
@pytest.mark.parametrize("audio", ["audio_cnn", "audio_resnet18", "wavlm"])
def test_the_first_stage_trains_heads_alone(kind, audio):
    config = fusion(audio, kind)
    first = config.heads_only()
    whole, left = state_of(config), trained(first)
    heads = VIDEO_HEAD + (AUDIO_HEAD if audio == "wavlm" else 1_032)
    assert count(left) == heads + (count(whole["fusion"]) if kind != "late" else 0)
    assert {
        group for path, leaf in nnx.to_flat_state(left) if isinstance(leaf, nnx.Param) for group in groups_of(path)
    } == {"head"}


@pytest.mark.parametrize(("blocks", "more"), [(0, 0), (1, LAYER4), (4, RESNET - 9_536), (None, RESNET)])
def test_the_second_stage_adds_the_last_stages_of_the_resnet(blocks, more):
    config = fusion("audio_cnn", "gated", video_blocks=blocks)
    assert count(trained(config)["video"]) == VIDEO_HEAD + more


def test_statistics_go_with_the_layers_that_own_them():
    config = fusion("audio_resnet18", "gated", audio_layers=0, video_blocks=1)
    flat = nnx.to_flat_state(trained(config))
    moving = {path[:3] for path, leaf in flat if isinstance(leaf, nnx.BatchStat)}
    # Standardisation is a fold's own, and never shared.
    assert moving == {
        ("audio", "standardize", "mean"),
        ("audio", "standardize", "deviation"),
        ("video", "resnet", "layer4"),
    }


def groups_of(path):
    name = ".".join(map(str, path))
    return [group for group, pattern in RATE_PATTERNS.items() if re.fullmatch(pattern, name)]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (("audio", "speech_encoder", "encoder", "layers", 11, "attention", "q_proj", "kernel"), "encoder"),
        (("audio", "head", "classifier", "dense", "kernel"), "head"),
        (("audio", "network", "layers", 3, 0, "conv1", "kernel"), "audio"),
        (("audio", "network", "fc1", "kernel"), "audio"),
        (("audio", "network", "fc2", "kernel"), "head"),
        (("video", "resnet", "layer4", 0, "conv1", "kernel"), "video"),
        (("video", "fc", "bias"), "head"),
        (("fusion", "gate", "dense", "bias"), "head"),
    ],
)
def test_groups_of_learning_rates(path, name):
    assert groups_of(path) == [name]


@pytest.mark.parametrize("audio", ["audio_cnn", "audio_resnet18", "wavlm"])
@pytest.mark.parametrize("layers", [0, None])
def test_rates_reach_the_optimizer(audio, layers):
    heard = {} if layers == 0 else {"encoder_rate": 0.3} if audio == "wavlm" else {"audio_rate": 0.1}
    config = fusion(audio, "xattn", audio_layers=layers, video_blocks=1, video_rate=0.2, **heard)
    validate(config)
    found = rate_factors(trained(config), config.rate_groups)
    for path, factor in nnx.to_flat_state(nnx.State(found)):
        (group,) = groups_of(path)
        assert factor == getattr(config, f"{group}_rate"), path
    assert config.heads_only().rate_groups == ()


def test_a_rate_that_nothing_is_trained_at_is_refused():
    with pytest.raises(UserError, match=r"model\.encoder_rate is 0\.3, but nothing is trained at it"):
        validate(fusion("audio_cnn", "gated", encoder_rate=0.3))


def test_each_parameter_is_in_exactly_one_group():
    for audio in ("audio_cnn", "wavlm"):
        for path, _ in nnx.to_flat_state(state_of(fusion(audio, "xattn"))):
            assert len(groups_of(path)) == 1, path


def test_unused_parameters_are_those_the_fusion_leaves_alone(is_unused):
    def idle(config):
        paths = [path for path, _ in nnx.to_flat_state(state_of(config)) if is_unused(path, config)]
        return {re.sub(r"\.\d.*", "", ".".join(map(str, path[:3]))) for path in paths}

    assert idle(fusion("wavlm", "late")) == set()
    assert idle(fusion("audio_cnn", "gated")) == {"audio.network.fc2", "video.fc.kernel", "video.fc.bias"}
    assert "fusion.audio_conv.kernel" in idle(fusion("wavlm", "xattn"))
    assert "audio.network.fc1" in idle(fusion("audio_cnn", "xattn", audio_path="conv"))
    assert "audio.speech_encoder.encoder" not in idle(fusion("wavlm", "xattn", audio_path="conv"))
