"""Settings of a classifier of video."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from serjax.models.base import Augmentation, Checkpoint, DType, Modality, Model, Resolution, Standardized
from serjax.video.config import VideoConfig

if TYPE_CHECKING:
    from flax import nnx

    from serjax.models.classifiers.video import VideoClassifier


@dataclass(frozen=True)
class Video(Model):
    """ResNet18 on frames of video, or a network on face features."""

    modalities: ClassVar[frozenset[Modality]] = frozenset({"video"})

    family: Literal["video"] = "video"
    """Video alone."""
    video: VideoConfig = field(default_factory=VideoConfig)
    """Frames, faces and augmentation."""
    dtype: DType = "float32"
    """Precision of the forward and backward pass; weights and optimizer stay float32."""

    @property
    def description(self) -> str:
        """Name of the network and its input."""
        return f"{describe_branch(self.video)} on video"

    @property
    def standardized(self) -> tuple[Standardized, ...]:
        """The face features, where they are the input."""
        return standardized_branch(self.video)

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """The ResNet18's, where one is given."""
        return branch_checkpoints(self.video)

    def resolved(self, resolution: Resolution) -> Self:
        """Return the settings with the length of a clip's face features."""
        return replace(self, video=replace(self.video, num_face_features=resolution.num_face_features))

    def build(
        self, num_classes: int, *, augmentation: Augmentation | None = None, rngs: "nnx.Rngs"
    ) -> "VideoClassifier":
        """Return the classifier with random weights."""
        from serjax.models.classifiers.video import VideoClassifier

        return VideoClassifier(num_classes, self.video, augment=augmentation is not None, rngs=rngs)


def describe_branch(config: VideoConfig) -> str:
    """Return the name of the network on video."""
    features = config.num_face_features
    return "ResNet18" if features is None else f"{features} face features"


def standardized_branch(config: VideoConfig, prefix: tuple[str, ...] = ("video",)) -> tuple[Standardized, ...]:
    """Return the face features, where they are the input."""
    return () if config.num_face_features is None else (Standardized((*prefix, "standardize"), None),)


def branch_checkpoints(config: VideoConfig) -> tuple[Checkpoint, ...]:
    """Return the ResNet18's published weights, where they are given."""
    return () if config.checkpoint is None else (Checkpoint("resnet", config.checkpoint, "video.resnet."),)
