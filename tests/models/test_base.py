"""Properties that the settings of every family have, by default and by family."""

from dataclasses import dataclass

import pytest

from serjax.models.base import Model
from serjax.models.encoders.wav2vec2_config import Wav2Vec2Config
from serjax.models.fusion.config import Fusion
from serjax.models.spectrogram import Functionals, Spectrogram
from serjax.models.speech import Speech
from serjax.models.video import Video
from serjax.video.config import VideoConfig


@dataclass(frozen=True)
class Plain(Model):
    family: str = "plain"


def test_defaults_are_a_network_on_sound_of_random_weights():
    plain = Plain()
    assert plain.modalities == plain.required == {"sound"}
    assert (plain.min_samples, plain.checkpoints, plain.standardized, plain.rate_groups) == (0, (), (), ())
    assert plain.encoder_settings is None
    assert plain.summary == "Network: plain from random weights"
    assert plain.trainable(("layer", "kernel"))
    assert not plain.trainable(("banks", "noise", "wave"))


FAMILIES = {
    "speech": Speech(),
    "audio_cnn": Spectrogram(family="audio_cnn"),
    "efficientnet": Spectrogram(family="efficientnet", checkpoint="google/efficientnet-b0"),
    "functionals": Functionals(),
    "video": Video(video=VideoConfig(checkpoint="microsoft/resnet-18")),
    "face features": Video(video=VideoConfig(face_features="features.npz")),
    "late": Fusion(kind="late"),
    "concat": Fusion(kind="concat"),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_required_modalities_are_those_taken_unless_one_may_be_missing(name):
    model = FAMILIES[name]
    assert model.required <= model.modalities
    assert (model.required == model.modalities) == (not model.handles_missing)


@pytest.mark.parametrize("name", ["audio_cnn", "efficientnet", "functionals", "video", "late"])
def test_recorded_sounds_are_never_trained(name):
    assert not FAMILIES[name].trainable(("banks", "noise", "wave"))


@pytest.mark.parametrize(
    ("name", "modalities", "kinds"),
    [
        ("speech", {"sound"}, []),
        ("efficientnet", {"sound"}, ["efficientnet"]),
        ("video", {"video"}, ["resnet"]),
        ("face features", {"video"}, []),
        ("late", {"sound", "video"}, []),
    ],
)
def test_modalities_and_checkpoints_by_family(name, modalities, kinds):
    model = FAMILIES[name]
    assert model.modalities == modalities
    assert [checkpoint.kind for checkpoint in model.checkpoints] == kinds


def test_summary_names_every_checkpoint():
    fusion = Fusion(audio=Spectrogram(family="audio_resnet18"), video=VideoConfig(checkpoint="microsoft/resnet-18"))
    assert fusion.summary.endswith("from `microsoft/resnet-18`")
    assert FAMILIES["audio_cnn"].summary.endswith("from random weights")


def test_speech_with_published_weights_is_pretrained_and_has_two_stages():
    published = Speech(checkpoint="facebook/hubert-base-ls960")
    assert (published.pretrained, published.two_stages) == (True, True)
    assert (Speech(size="tiny").pretrained, published.heads_only().frozen_encoder) == (False, True)
    assert published.checkpoints[0].prefix == "speech_encoder."
    assert Wav2Vec2Config().model_type in Speech().description
