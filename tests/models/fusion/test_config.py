"""Settings of fusions: bounds of values, defaults that depend on the kind, and the audio branch's encoder."""

import pytest

from serjax.config.experiment import Experiment
from serjax.models.base import EncoderLayout, Resolution
from serjax.models.encoders.wav2vec2_config import Wav2Vec2Config
from serjax.models.fusion.config import Fusion
from serjax.models.speech import Speech
from serjax.runtime.constraints import validate
from serjax.runtime.errors import UserError


def test_default_modality_dropout_by_kind():
    assert {kind: Fusion(kind=kind).modality_dropout_rate for kind in ("late", "concat", "gated", "xattn")} == {
        "late": 0.0,
        "concat": 0.0,
        "gated": 0.2,
        "xattn": 0.0,
    }
    assert Fusion(kind="xattn", modality_dropout=0.1).modality_dropout_rate == 0.1
    assert [Fusion(kind=kind).handles_missing for kind in ("late", "gated", "concat")] == [True, True, False]
    assert Fusion(kind="concat", modality_dropout=0.1).handles_missing


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"d_model": 100, "heads": 3}, r"model.d_model is 100; it must be a multiple of model.heads \(3\)"),
        ({"common": 0}, "model.common is 0; it must be 1 or more"),
        ({"stochastic_depth": 1.0}, "model.stochastic_depth is 1.0; it must be below 1"),
        ({"modality_dropout": 0.6}, "model.modality_dropout is 0.6; it must be 0.5 or less"),
        ({"video_blocks": 5}, "model.video_blocks is 5; it must be 4 or less"),
        ({"audio_layers": 2}, "model.audio_layers is 2, but audio_resnet18 is trained as a whole"),
        ({"head_rate": -1.0}, "model.head_rate is -1.0; it must be 0 or more"),
    ],
)
def test_invalid_fusion_settings_are_refused(entry, message):
    experiment = Experiment("x", model=Fusion(**entry))
    with pytest.raises(UserError, match=message):
        validate(experiment)


def test_fusion_of_wavlm_refuses_checkpoints_of_other_families():
    config = Fusion(audio=Speech(family="wavlm")).resolved(Resolution(3.0, EncoderLayout(Wav2Vec2Config())))
    with pytest.raises(UserError, match=r"model\.audio\.family is wavlm, but the checkpoint holds hubert"):
        config.check_encoder()
