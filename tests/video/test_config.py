"""Settings of video: shape of a clip's input, and combinations that are refused."""

import pytest

from serjax.runtime.constraints import validate
from serjax.runtime.errors import UserError
from serjax.video.config import MIN_SIZE, VideoConfig


def test_shape_of_frames_and_of_face_features():
    assert VideoConfig(frames=5, size=64).shape == (5, 64, 64, 3)
    assert VideoConfig(face_features="a.npz", num_face_features=35).shape == (1, 35)


@pytest.mark.parametrize("config", [VideoConfig(), VideoConfig(size=MIN_SIZE), VideoConfig(face_features="a.npz")])
def test_valid_settings(config):
    validate(config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": MIN_SIZE - 1}, r"model\.video\.size is 31; it must be 32 pixels or more"),
        ({"frames": 0}, "frames is 0; it must be 1 or more"),
        (
            {"face_features": "a.npz", "drawn": True},
            r"model\.video\.drawn and model\.video\.face_features are both given",
        ),
        (
            {"face_features": "a.npz", "checkpoint": "microsoft/resnet-18"},
            r"model\.video\.checkpoint and model\.video\.face_features are both given",
        ),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(UserError, match=rf"^{message}"):
        validate(VideoConfig(**changes))
