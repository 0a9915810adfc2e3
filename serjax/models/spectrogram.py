"""From waves to logits through features that are computed where the model runs: spectrograms, or hand-made values."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from serjax.audio import SAMPLE_RATE, augment
from serjax.audio.augment import AugmentConfig
from serjax.audio.functionals import functionals
from serjax.audio.mixup import Pairs, mix
from serjax.audio.spectrogram import EFFICIENTNET, RAVDESS_AUDIO, Spectrogram, log_mel
from serjax.config.experiment import Experiment
from serjax.data.config import DataConfig
from serjax.models.config import ModelConfig
from serjax.models.layers.activations import split
from serjax.models.layers.heads import NormHead
from serjax.models.layers.masking import length_mask
from serjax.models.layers.standardize import Standardizer
from serjax.models.networks.audio_cnn import AudioCNN, AudioResNet18
from serjax.models.networks.bilstm import BiLSTMClassifier
from serjax.models.networks.efficientnet import EfficientNet, EfficientNetConfig

SPECTROGRAMS: dict[str, Spectrogram] = {
    "efficientnet": EFFICIENTNET,
    "audio_cnn": RAVDESS_AUDIO,
    "audio_resnet18": RAVDESS_AUDIO,
}
"""What each network looks at; a family that is not here takes the 312 values."""
VALUES = 312


class Given(nnx.Variable[Array]):
    """What is neither trained nor saved."""


class Recordings(nnx.Module):
    """What training mixes in: noise, or impulse responses of rooms."""

    def __init__(self, shape: tuple[int, ...]):
        self.wave = Given(jnp.zeros(shape))
        self.length = Given(jnp.zeros(shape[0], jnp.int32))

    def __call__(self) -> augment.Bank:
        """Return the recordings."""
        return augment.Bank(self.wave[...], self.length[...])


class FrontEnd(nnx.Module):
    """What a network looks at, from waves: a log-mel spectrogram, or the 312 values of all of it or of each window."""

    def __init__(self, family: str, data: DataConfig):
        self.spectrogram = SPECTROGRAMS.get(family)
        self.samples = round(data.seconds * SAMPLE_RATE)
        self.window = self.samples if data.window is None else round(data.window * SAMPLE_RATE)
        self.level, self.fill = data.level, data.fill
        self.features = VALUES if self.spectrogram is None else self.spectrogram.mels

    def __call__(
        self, wave: Float[Array, "b t"], lengths: Int[Array, "b"]
    ) -> tuple[Float[Array, "b n d"], Int[Array, "b"]]:
        """Return features and true frames of clips, cut or filled up to the network's length."""
        wave = wave[:, : self.samples].astype(jnp.float32)
        wave = jnp.pad(wave, ((0, 0), (0, self.samples - wave.shape[1])))
        lengths = jnp.minimum(lengths, self.samples)
        if self.level is not None:
            wave = augment.level(wave, lengths, self.level)
        if self.fill == "repeat":
            wave, lengths = augment.wrap(wave, lengths)
        if self.spectrogram is None:
            return self._values(wave, lengths)
        image = log_mel(wave, self.spectrogram).swapaxes(1, 2)
        return image, jnp.minimum(lengths // self.spectrogram.hop + 1, image.shape[1])

    def _values(
        self, wave: Float[Array, "b t"], lengths: Int[Array, "b"]
    ) -> tuple[Float[Array, "b n 312"], Int[Array, "b"]]:
        """Return the values of windows, and how many windows it takes to reach each clip's end."""
        hop = self.window // 2
        count = 1 + (self.samples - self.window) // hop
        windows = jnp.stack([wave[:, i * hop : i * hop + self.window] for i in range(count)], axis=1)
        values = functionals(windows.reshape(-1, self.window)).reshape(len(wave), count, VALUES)
        # A clip's last window is filled up with zeros, as a clip is that is read at once.
        return values, jnp.clip(1 + -(-(lengths - self.window) // hop), 1, count)


def augmented(
    wave: Float[Array, "b t"],
    lengths: Int[Array, "b"],
    key: PRNGKeyArray,
    config: AugmentConfig,
    banks: Mapping[str, Recordings],
) -> tuple[Float[Array, "b t"], Int[Array, "b"]]:
    """Change speed, then gain, room and noise; `banks` are the recordings of `noise` and `rooms`, as far as given."""
    speed, gain, room, noise = jax.random.split(key, 4)
    if config.speeds:
        wave, lengths = augment.speed(speed, wave, lengths, config.speeds)
    if config.gain_p:
        wave = augment.gain(gain, wave, -config.gain, config.gain, config.gain_p)
    if "rooms" in banks:
        wave = augment.reverberate(room, wave, lengths, banks["rooms"](), config.rooms_p)
    bank = banks["noise"]() if "noise" in banks else None
    if config.noise_levels:
        clean = 1 - sum(p for p, _ in config.noise_levels)
        choices = ((clean, ()), *((p, (snr,)) for p, snr in config.noise_levels))
        wave = augment.mix_noise_choice(noise, wave, lengths, bank, choices)
    elif config.noise_p:
        wave = augment.mix_noise(noise, wave, lengths, bank, *config.noise_snr, config.noise_p)
    return wave, lengths


class SoundClassifier(nnx.Module):
    """Augmentation, front end, standardisation and a network."""

    def __init__(
        self,
        experiment: Experiment,
        classes: int,
        banks: Mapping[str, tuple[int, ...]],
        *,
        rngs: nnx.Rngs,
    ):
        """Build the model with random weights.

        Args:
            experiment: family, length, level and augmentation.
            classes: Number of classes.
            banks: Shapes [m s] of the recordings of `noise` and `rooms`, as far as there are any; zeros until given.
            rngs: Source of the weights.
        """
        self.augmentation = experiment.augment
        self.image = experiment.model.family in SPECTROGRAMS
        self.front = FrontEnd(experiment.model.family, experiment.data)
        self.standardize = Standardizer(self.front.features)
        self.banks = nnx.Dict({name: Recordings(shape) for name, shape in banks.items()})
        self.network = _network(experiment.model, classes, rngs)
        self.head = _head(experiment.model, self.network, classes, rngs)

    def __call__(
        self,
        wave: Float[Array, "b t"],
        lengths: Int[Array, "b"],
        key: PRNGKeyArray | None = None,
        weight: Float[Array, "b"] | None = None,
        pairs: Pairs | None = None,
    ) -> Float[Array, "b c"]:
        """Return the logits.

        Args:
            wave: Samples at 16 kHz, padded on the right.
            lengths: True number of samples of each clip.
            key: Random key of training (augmentation, dropout, batch statistics); None for evaluation.
            weight: In training, 0 for rows that only fill up the batch and must not count in batch statistics.
            pairs: In training, which clips' features to mix.
        """
        *_, inner = split(key, 3)
        x, frames = self.prepared(wave, lengths, key, pairs)
        if not self.image:
            return self.network(x, frames, inner)
        body, head = split(inner, 2)
        y = self.network(x.swapaxes(1, 2)[..., None], frames, weight, body)
        return y if self.head is None else self.head(y, head)

    def prepared(
        self,
        wave: Float[Array, "b t"],
        lengths: Int[Array, "b"],
        key: PRNGKeyArray | None = None,
        pairs: Pairs | None = None,
    ) -> tuple[Float[Array, "b n d"], Int[Array, "b"]]:
        """Return what the network looks at, and true frames; arguments are those of a call."""
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


def _head(model: ModelConfig, network: nnx.Module, classes: int, rngs: nnx.Rngs) -> NormHead | None:
    """Return what turns EfficientNet's features into logits; the other networks end in logits."""
    if not isinstance(network, EfficientNet):
        return None
    features = network.config.hidden_dim
    return NormHead(features, model.head_size, classes, "relu", model.dropout, norm=False, rngs=rngs)


def _network(model: ModelConfig, classes: int, rngs: nnx.Rngs) -> nnx.Module:
    match model.family:
        case "efficientnet":
            # Statistics follow as in torchvision's B0: the original's 0.99 takes hundreds of steps, more than an epoch
            # of a small corpus has, and early validation would see statistics of the random weights.
            return EfficientNet(EfficientNetConfig(num_channels=1, batch_norm_momentum=0.9), rngs=rngs)
        case "audio_cnn":
            return AudioCNN(classes, rngs=rngs)
        case "audio_resnet18":
            return AudioResNet18(classes, rngs=rngs)
    return BiLSTMClassifier(classes, VALUES, rate=model.dropout, rngs=rngs)
