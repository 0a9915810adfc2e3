"""Settings of classifiers of video."""

from serjax.models.base import Checkpoint, Resolution, Standardized
from serjax.models.video import Video
from serjax.video.config import VideoConfig


def test_frames_go_through_a_resnet():
    config = Video(video=VideoConfig(checkpoint="x")).resolved(Resolution(3.0))
    assert config.description == "ResNet18 on video"
    assert config.checkpoints == (Checkpoint("resnet", "x", "video.resnet."),)
    assert config.standardized == ()


def test_face_features_are_standardised():
    config = Video(video=VideoConfig(face_features="au.npz")).resolved(Resolution(3.0, num_face_features=35))
    assert config.description == "35 face features on video"
    assert config.standardized == (Standardized(("video", "standardize"), None),)
