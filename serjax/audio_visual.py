"""What an experiment says of video, and of how it is joined with sound."""

from dataclasses import dataclass, field
from typing import Literal

FusionKind = Literal["late", "concat", "gated", "xattn"]
FusionAudio = Literal["audio_cnn", "audio_resnet18", "wavlm"]


@dataclass(frozen=True)
class VideoAugment:
    """What training does to its videos; ranges are those of the audio-visual seed, which tells no probabilities."""

    blur_p: float = 0.5
    """Probability of a Gaussian blur of 3, 5 or 7 pixels."""
    brightness: tuple[float, float] = (0.2, 0.6)
    """Pictures are darkened to a share of their brightness from this range."""
    brightness_p: float = 0.5
    """Probability of darkening."""
    noise: float = 0.03
    """Highest deviation of Gaussian noise, as a share of white."""
    noise_p: float = 0.5
    """Probability of noise."""


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


@dataclass(frozen=True)
class WarmStart:
    """Finished runs whose folds' weights the branches of a fusion start from; folds must be the same."""

    audio: str | None = None
    """Run folder of an audio network or of WavLM."""
    video: str | None = None
    """Run folder of a video network."""


@dataclass(frozen=True)
class FusionConfig:
    """How sound and video are joined."""

    kind: FusionKind = "gated"
    """late: probabilities are averaged. concat: projections side by side. gated: projections, weighted against each
    other. xattn: frames of video look at frames of sound, and these at those."""
    audio: FusionAudio = "audio_resnet18"
    """The network that hears."""
    common: int = 256
    """concat, gated: width of the projections and of the head's hidden layer."""
    dropout: float = 0.2
    """Dropout in the heads of concat and gated, and in WavLM's own."""
    modality_dropout: float | None = None
    """Probability that training hides a clip's sound, and as much that it hides its video; never both. By default 0.2
    for gated and 0 for the others. late does without: it averages what there is."""
    head: Literal["concat", "gated"] = "concat"
    """xattn: both means side by side, or weighted against each other."""
    audio_path: Literal["sequence", "conv"] = "sequence"
    """xattn: what is looked at of the sound: what the audio network makes of each stretch, or a convolution over its
    input (WavLM: over its output)."""
    d_model: int = 128
    """xattn: width of the attention."""
    heads: int = 4
    """xattn: attention heads."""
    attention_dropout: float = 0.1
    """xattn: dropout of attention weights."""
    stochastic_depth: float = 0.1
    """xattn: probability that training leaves out a clip's attention."""
    audio_layers: int | None = None
    """Train so many of WavLM's last layers, or 0 of any audio network but its last Linear layers; by default all."""
    video_blocks: int | None = None
    """Train so many of the ResNet's four last stages, and no more of it; by default all."""
    head_rate: float = 1.0
    """Factor of the learning rate of the fusion and of the branches' last layers."""
    audio_rate: float = 1.0
    """Factor of the rest of an audio network."""
    video_rate: float = 1.0
    """Factor of the ResNet."""
    trunk_rate: float = 1.0
    """Factor of WavLM."""

    @property
    def hidden(self) -> float:
        """The probability that training hides either modality."""
        if self.modality_dropout is not None:
            return self.modality_dropout
        return 0.2 if self.kind == "gated" else 0.0

    @property
    def copes(self) -> bool:
        """Whether training has met clips without sound or without video, so that prediction may."""
        return self.kind == "late" or self.hidden > 0
