"""Networks on log-mel spectrograms, and a BiLSTM on hand-made features: from waveforms to logits."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

import jax.numpy as jnp
import tyro
from flax import nnx
from jax import lax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from serjax.audio import SAMPLE_RATE, augment
from serjax.audio.mixup import Pairs, mix
from serjax.audio.spectrogram import EFFICIENTNET, RAVDESS_AUDIO
from serjax.models.base import Augmentation, Checkpoint, Model, Resolution, Standardized
from serjax.models.front_end import NUM_FUNCTIONALS, FrontEnd, PadMode, Recordings, augmented
from serjax.models.functional import DType
from serjax.models.inputs import Inputs
from serjax.models.layers.activations import split
from serjax.models.layers.heads import NormHead
from serjax.models.layers.masking import length_mask
from serjax.models.layers.standardize import Standardizer
from serjax.models.networks.audio_cnn import AudioCNN, AudioResNet18, SpectrogramNetwork
from serjax.models.networks.bilstm import BiLSTMClassifier
from serjax.models.networks.efficientnet import EfficientNet, EfficientNetConfig
from serjax.runtime.constraints import AtLeastOne, Decibels, Positive, Rate
from serjax.runtime.errors import UserError

SHORTEST_WINDOW = 0.128
"""Seconds of the functionals' Fourier window, below which they are of padding more than of sound."""
MIN_SAMPLES = 320
"""Fewest samples of a clip, 20 ms."""


@dataclass(frozen=True)
class Spectrogram(Model):
    """Network on log-mel spectrograms."""

    augmentations: ClassVar[frozenset[str]] = frozenset({"waves", "mel_masks", "mixup", "mixup_of features"})

    family: Literal["efficientnet", "audio_cnn", "audio_resnet18"] = "efficientnet"
    """EfficientNet-B0, or one of two small networks."""
    checkpoint: str | None = None
    """efficientnet: Hugging Face directory or hub id of pretrained weights; by default random weights."""
    head_size: AtLeastOne = 256
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
    def front_end(self) -> FrontEnd:
        """Front end of the network."""
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
        self, num_classes: int, *, augmentation: Augmentation | None = None, rngs: nnx.Rngs
    ) -> "SpectrogramClassifier":
        """Return the classifier with random weights."""
        return SpectrogramClassifier(self.front_end, self._networks(num_classes), augmentation, rngs=rngs)

    def check(self) -> None:
        """Refuse a checkpoint for a network that none is published of."""
        if self.checkpoint is not None and self.family != "efficientnet":
            raise UserError(
                f"model.checkpoint is given, but {self.family} has no published weights; leave it out, or take "
                "--model.family efficientnet."
            )

    def _networks(self, num_classes: int) -> "Networks":
        def networks(rngs: nnx.Rngs) -> tuple[nnx.Module, NormHead | None]:
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

    augmentations: ClassVar[frozenset[str]] = frozenset({"waves", "mixup", "mixup_of features"})

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
    def front_end(self) -> FrontEnd:
        """Front end of the network."""
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
        self, num_classes: int, *, augmentation: Augmentation | None = None, rngs: nnx.Rngs
    ) -> "SpectrogramClassifier":
        """Return the classifier with random weights."""

        def networks(rngs: nnx.Rngs) -> tuple[nnx.Module, None]:
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


Networks = Callable[[nnx.Rngs], tuple[nnx.Module, NormHead | None]]
"""Builds a network and, where its output is no logits, a head."""


class SpectrogramClassifier(nnx.Module):
    """Augmentation, front end, standardisation and a network."""

    def __init__(self, front_end: FrontEnd, networks: Networks, augmentation: Augmentation | None, *, rngs: nnx.Rngs):
        """Build the model with random weights.

        Args:
            front_end: Makes the features.
            networks: Builds the network, and its head.
            augmentation: Of training; None: nothing.
            rngs: Source of the weights.
        """
        given = augmentation or Augmentation()
        self.augmentation = given.config
        self.front = front_end
        self.standardize = Standardizer(front_end.features)
        self.banks = nnx.Dict({name: Recordings(shape) for name, shape in given.recordings.items()})
        self.network, self.head = networks(rngs)

    @property
    def image(self) -> bool:
        """True where the features are a spectrogram."""
        return self.front.spectrogram is not None

    def __call__(
        self, inputs: Inputs, key: PRNGKeyArray | None = None, weight: Float[Array, "b"] | None = None
    ) -> Float[Array, "b c"]:
        """Return the logits.

        Args:
            inputs: Waves; in training also which clips' features to mix.
            key: Random key of training (augmentation, dropout, batch statistics); None for evaluation.
            weight: In training, 0 for rows that only fill up the batch and must not count in batch statistics.
        """
        *_, inner = split(key, 3)
        x, frames = self.prepared(*inputs.sound, key, inputs.pairs)
        if not self.image:
            return self.network(x, frames, inner)
        body, head = split(inner, 2)
        y = self.network(x.swapaxes(1, 2)[..., None], frames, weight, body)
        return y if self.head is None else self.head(y, head)

    @property
    def widths(self) -> tuple[int, int]:
        """Width of a frame before and after the network, for fusion."""
        return self.front.features, self._network.fc2.in_features

    def seconds_per_frame(self, *, raw: bool) -> float:
        """Return the seconds from one frame of `sequence` to the next."""
        assert self.front.spectrogram is not None
        return (1 if raw else self._network.stride) * self.front.spectrogram.hop / SAMPLE_RATE

    def sequence(
        self,
        wave: Float[Array, "b t"],
        lengths: Int[Array, "b"],
        key: PRNGKeyArray | None,
        weight: Float[Array, "b"] | None,
        *,
        raw: bool,
        frozen: bool,
    ) -> tuple[Float[Array, "b n d"], Int[Array, "b"]]:
        """Return the spectrogram (`raw`) or the network's map, a vector a frame, and how many are true, for fusion."""
        x, frames = self.prepared(wave, lengths, key)
        if raw:
            return x, frames
        x, frames = self._network.sequence(x.swapaxes(1, 2)[..., None], frames, weight, None if frozen else key)
        return (lax.stop_gradient(x) if frozen else x), frames

    def vector(
        self,
        wave: Float[Array, "b t"],
        lengths: Int[Array, "b"],
        key: PRNGKeyArray | None,
        weight: Float[Array, "b"] | None,
        *,
        frozen: bool,
    ) -> Float[Array, "b d"]:
        """Return the input of the network's last layer, for fusion."""
        x, frames = self.prepared(wave, lengths, key)
        features = self._network.features(x.swapaxes(1, 2)[..., None], frames, weight, None if frozen else key)
        return lax.stop_gradient(features) if frozen else features

    def classify(self, vector: Float[Array, "b d"], key: PRNGKeyArray | None) -> Float[Array, "b c"]:
        """Return the logits of the last layer's input."""
        return self._network.fc2(vector)

    @property
    def _network(self) -> SpectrogramNetwork:
        assert isinstance(self.network, SpectrogramNetwork)
        return self.network

    def prepared(
        self,
        wave: Float[Array, "b t"],
        lengths: Int[Array, "b"],
        key: PRNGKeyArray | None = None,
        pairs: Pairs | None = None,
    ) -> tuple[Float[Array, "b n d"], Int[Array, "b"]]:
        """Return the features that the network takes, and true frames.

        Args:
            wave: Samples at 16 kHz, padded on the right.
            lengths: True number of samples of each clip.
            key: As of a call.
            pairs: Which clips' features to mix.
        """
        dtype = wave.dtype
        sound, masks, _ = split(key, 3)
        if sound is not None:
            wave, lengths = augmented(wave, lengths, sound, self.augmentation, self.banks)
        x, frames = self.front(wave, lengths)
        x = self.standardize(x)
        if pairs is not None:
            # Behind a clip's end there is nothing to mix: 0, each feature's mean.
            x = mix(jnp.where(length_mask(frames, x.shape[1])[:, :, None], x, 0), pairs)
            frames = pairs.longer(frames)
        if masks is not None and self.image:
            x = self._mask(x, masks)
        return x.astype(dtype), frames

    def _mask(self, x: Float[Array, "b n d"], key: PRNGKeyArray) -> Float[Array, "b n d"]:
        """Hide stripes (SpecAugment); 0 is each mel's mean."""
        config = self.augmentation
        if not (config.mel_masks or config.time_masks):
            return x
        return augment.spec_augment(
            key,
            x.swapaxes(1, 2),
            config.mel_width,
            config.time_width,
            config.mel_masks,
            config.time_masks,
            config.mask_p,
        ).swapaxes(1, 2)
