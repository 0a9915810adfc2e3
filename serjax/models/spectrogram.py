"""Settings of networks on log-mel spectrograms, and of a BiLSTM on hand-made features."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import tyro

from serjax.models.base import Augmentation, Checkpoint, DType, Model, PadMode, Resolution, Standardized
from serjax.runtime.constraints import Decibels, Positive, Rate, Width
from serjax.runtime.errors import UserError

if TYPE_CHECKING:
    from flax import nnx

    from serjax.models.classifiers.spectrogram import Networks, SpectrogramClassifier
    from serjax.models.front_end import FrontEnd

SHORTEST_WINDOW = 0.128
"""Seconds of the functionals' Fourier window, below which they are of padding more than of sound."""
MIN_SAMPLES = 320
"""Fewest samples of a clip, 20 ms."""


@dataclass(frozen=True)
class Spectrogram(Model):
    """Network on log-mel spectrograms."""

    augmentations: ClassVar[frozenset[str]] = frozenset({"waves", "channel", "mel_masks", "mixup", "mixup_of features"})

    family: Literal["efficientnet", "audio_cnn", "audio_resnet18"] = "efficientnet"
    """EfficientNet-B0, or one of two small networks."""
    checkpoint: str | None = None
    """efficientnet: Hugging Face directory or hub id of pretrained weights; by default random weights."""
    head_size: Width = 256
    """efficientnet: width of the head's hidden layer."""
    dropout: Rate = 0.1
    """efficientnet: dropout in the head."""
    target_dbfs: Decibels | None = None
    """Bring each crop to this RMS level in dB (0 is full scale)."""
    pad_mode: PadMode = "zeros"
    """Padding of a clip that is shorter than the input: zeros, or the clip again."""
    dtype: DType = "float32"
    """Precision of the forward and backward pass; weights and optimizer stay float32."""
    seconds: tyro.conf.Suppress[Positive | None] = None
    """Length of the network's input in s, which a run takes from data.max_seconds."""

    @property
    def front_end(self) -> "FrontEnd":
        """Front end of the network."""
        from serjax.audio.spectrogram import EFFICIENTNET, RAVDESS_AUDIO
        from serjax.models.front_end import FrontEnd

        assert self.seconds is not None, "resolve the settings first"
        spectrogram = EFFICIENTNET if self.family == "efficientnet" else RAVDESS_AUDIO
        return FrontEnd(spectrogram, self.seconds, target_dbfs=self.target_dbfs, pad_mode=self.pad_mode)

    @property
    def min_samples(self) -> int:
        """Samples of 20 ms."""
        return MIN_SAMPLES

    @property
    def standardized(self) -> tuple[Standardized, ...]:
        """The spectrogram."""
        return (Standardized(("standardize",), self.front_end),)

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """EfficientNet's, where one is given."""
        return () if self.checkpoint is None else (Checkpoint("efficientnet", self.checkpoint, "network."),)

    def resolved(self, resolution: Resolution) -> Self:
        """Return the settings with the length of the input."""
        return replace(self, seconds=resolution.seconds)

    def build(
        self, num_classes: int, *, augmentation: Augmentation | None = None, rngs: "nnx.Rngs"
    ) -> "SpectrogramClassifier":
        """Return the classifier with random weights."""
        from serjax.models.classifiers.spectrogram import SpectrogramClassifier

        return SpectrogramClassifier(self.front_end, self._networks(num_classes), augmentation, rngs=rngs)

    def check(self) -> None:
        """Refuse a checkpoint for a network that none is published of, and settings that are EfficientNet's alone."""
        if self.checkpoint is not None and self.family != "efficientnet":
            raise UserError(
                f"model.checkpoint is given, but {self.family} has no published weights; leave it out, or take "
                "--model.family efficientnet."
            )
        for name, plain in (("head_size", Spectrogram.head_size), ("dropout", Spectrogram.dropout)):
            if self.family != "efficientnet" and getattr(self, name) != plain:
                raise UserError(
                    f"model.{name} is {getattr(self, name)}, but {self.family} has no such setting: of the networks on "
                    "spectrograms efficientnet alone takes it; leave it out."
                )

    def _networks(self, num_classes: int) -> "Networks":
        from serjax.models.layers.heads import NormHead
        from serjax.models.networks.audio_cnn import AudioCNN, AudioResNet18
        from serjax.models.networks.efficientnet import EfficientNet, EfficientNetConfig

        def networks(rngs: "nnx.Rngs") -> "tuple[nnx.Module, NormHead | None]":
            match self.family:
                case "audio_cnn":
                    return AudioCNN(num_classes, rngs=rngs), None
                case "audio_resnet18":
                    return AudioResNet18(num_classes, rngs=rngs), None
                case "efficientnet":
                    # Statistics follow as in torchvision's B0: the original's 0.99 takes hundreds of steps, more than
                    # an epoch of a small corpus has, and early validation would use statistics of the random weights.
                    network = EfficientNet(EfficientNetConfig(num_channels=1, batch_norm_momentum=0.9), rngs=rngs)
                    size, width = self.head_size, network.config.hidden_dim
                    return network, NormHead(width, size, num_classes, "relu", self.dropout, norm=False, rngs=rngs)

        return networks


@dataclass(frozen=True)
class Functionals(Model):
    """BiLSTM on 312 hand-made features."""

    augmentations: ClassVar[frozenset[str]] = frozenset({"waves", "channel", "mixup", "mixup_of features"})

    family: Literal["bilstm"] = "bilstm"
    """BiLSTM after mser."""
    dropout: Rate = 0.1
    """Dropout in the network."""
    window: Positive | None = None
    """Take the features of windows of so many s, each half a window after the one before, as a sequence; by default
    those of the whole input at once."""
    target_dbfs: Decibels | None = None
    """Bring each crop to this RMS level in dB (0 is full scale)."""
    pad_mode: PadMode = "zeros"
    """Padding of a clip that is shorter than the input: zeros, or the clip again."""
    dtype: DType = "float32"
    """Precision of the forward and backward pass; weights and optimizer stay float32."""
    seconds: tyro.conf.Suppress[Positive | None] = None
    """Length of the network's input in s, which a run takes from data.max_seconds."""

    @property
    def front_end(self) -> "FrontEnd":
        """Front end of the network."""
        from serjax.models.front_end import FrontEnd

        assert self.seconds is not None, "resolve the settings first"
        settings = {"target_dbfs": self.target_dbfs, "pad_mode": self.pad_mode, "window": self.window}
        return FrontEnd(None, self.seconds, **settings)  # type: ignore[arg-type]

    @property
    def min_samples(self) -> int:
        """Samples of 20 ms."""
        return MIN_SAMPLES

    @property
    def standardized(self) -> tuple[Standardized, ...]:
        """The features."""
        return (Standardized(("standardize",), self.front_end),)

    def resolved(self, resolution: Resolution) -> Self:
        """Return the settings with the length of the input."""
        return replace(self, seconds=resolution.seconds)

    def build(
        self, num_classes: int, *, augmentation: Augmentation | None = None, rngs: "nnx.Rngs"
    ) -> "SpectrogramClassifier":
        """Return the classifier with random weights."""

        from serjax.models.classifiers.spectrogram import SpectrogramClassifier
        from serjax.models.front_end import NUM_FUNCTIONALS
        from serjax.models.networks.bilstm import BiLSTMClassifier

        def networks(rngs: "nnx.Rngs") -> "tuple[nnx.Module, None]":
            return BiLSTMClassifier(num_classes, NUM_FUNCTIONALS, rate=self.dropout, rngs=rngs), None

        return SpectrogramClassifier(self.front_end, networks, augmentation, rngs=rngs)

    def check_length(self, seconds: float) -> None:
        """Refuse windows that are longer than the input, or too short for the features.

        Args:
            seconds: length of the input, in s.

        Raises:
            UserError: model.window does not fit.
        """
        if self.window is not None and not SHORTEST_WINDOW <= self.window <= seconds:
            raise UserError(
                f"model.window is {self.window:g}; it must be from {SHORTEST_WINDOW:g} s to data.max_seconds "
                f"({seconds:g} s)."
            )
