"""Settings of video."""

from dataclasses import dataclass, field

from serjax.video.augment import VideoAugment


@dataclass(frozen=True)
class VideoConfig:
    """What is seen of a clip."""

    units: str | None = None
    """Archive (.npz) of a vector a clip in place of pictures, such as action units: ids [clips], au [clips d]."""
    drawn: bool = False
    """Draw a face of each clip's emotion in place of real videos, to try things out."""
    frames: int = 8
    """Evenly spaced frames of a clip."""
    size: int = 112
    """Pixels to which frames are brought, in width and height."""
    faces: bool = True
    """Cut out the face that is found in the first frame; without one, the whole frame is taken."""
    checkpoint: str | None = None
    """ResNet18 to start from: torchvision's resnet18-*.pth, or a Hugging Face directory or hub id such as
    microsoft/resnet-18; by default random weights."""
    augment: VideoAugment = field(default_factory=VideoAugment)
    """What training does to its videos."""
