"""Settings of video."""

from dataclasses import dataclass, field

import numpy as np
import tyro
from jaxtyping import UInt8

from serjax.runtime.constraints import AtLeastOne, NotNegative, Share
from serjax.runtime.errors import UserError

FRAMES, SIZE = 8, 112
"""Frames of a clip, and their width and height in pixels, that networks on video take."""
MIN_SIZE = 32
"""Least width and height of frames, in pixels."""
STAGES = 4
"""Stages of the ResNet18 that looks at frames."""


Box = tuple[int, int, int, int]
"""Left, top, right and bottom of a part of a picture, in pixels; right and bottom lie outside of it."""

Picture = UInt8[np.ndarray, "h w 3"]
"""RGB."""


@dataclass(frozen=True)
class VideoAugment:
    """Augmentation of videos in training; ranges are those of the audio-visual seed, which tells no probabilities."""

    blur_p: Share = 0.5
    """Probability of a Gaussian blur of 3, 5 or 7 pixels."""
    brightness: tuple[NotNegative, NotNegative] = (0.2, 0.6)
    """Frames are darkened to a share of their brightness from this range."""
    brightness_p: Share = 0.5
    """Probability of darkening."""
    noise: Share = 0.03
    """Highest deviation of Gaussian noise, as a share of white."""
    noise_p: Share = 0.5
    """Probability of noise."""

    def check(self) -> None:
        """Refuse a range that falls."""
        low, high = self.brightness
        if low > high:
            raise UserError(f"model.video.augment.brightness is {low:g} to {high:g}; it must rise.")


@dataclass(frozen=True)
class VideoConfig:
    """Frames of video as models take them."""

    face_features: str | None = None
    """Archive (.npz) of a vector a clip in place of frames, such as action units: ids [clips], au [clips d]."""
    drawn: bool = False
    """Draw a face of each clip's emotion in place of real videos, to try things out."""
    frames: AtLeastOne = FRAMES
    """Evenly spaced frames of a clip."""
    size: AtLeastOne = SIZE
    """Width and height of frames, in pixels."""
    faces: bool = True
    """Crop the face that is found in the first frame; without one, the whole frame is taken."""
    checkpoint: str | None = None
    """ResNet18 to start from: torchvision's resnet18-*.pth, or a Hugging Face directory or hub id such as
    microsoft/resnet-18; by default random weights."""
    augment: VideoAugment = field(default_factory=VideoAugment)
    """Augmentation of videos in training."""
    num_face_features: tyro.conf.Suppress[int | None] = None
    """Length of a clip's vector, which a run reads from `face_features`."""

    def check(self) -> None:
        """Refuse sizes and combinations that cannot be.

        Raises:
            UserError: names the field.
        """
        if self.size < MIN_SIZE:
            raise UserError(f"model.video.size is {self.size}; it must be {MIN_SIZE} pixels or more.")
        for name, given in (("drawn", self.drawn), ("checkpoint", self.checkpoint is not None)):
            if self.face_features is not None and given:
                raise UserError(
                    f"model.video.{name} and model.video.face_features are both given; leave out one of them."
                )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a clip's input: frames [f h w 3], or one vector [1 d]."""
        if self.num_face_features is not None:
            return (1, self.num_face_features)
        return (self.frames, self.size, self.size, 3)
