"""Front ends of networks on sound: augmentation of waves, then a log-mel spectrogram or hand-made features."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from serjax.audio import SAMPLE_RATE, augment
from serjax.audio.config import AugmentConfig
from serjax.audio.functionals import functionals
from serjax.audio.spectrogram import Spectrogram, log_mel
from serjax.models.base import PadMode

NUM_FUNCTIONALS = 312
"""Hand-made features of a stretch of sound."""


class Given(nnx.Variable[Array]):
    """Variable that is neither trained nor saved."""


class Recordings(nnx.Module):
    """Recordings that training mixes in: noise, or room impulse responses."""

    def __init__(self, shape: tuple[int, ...]):
        self.wave = Given(jnp.zeros(shape))
        self.length = Given(jnp.zeros(shape[0], jnp.int32))

    def __call__(self) -> augment.Bank:
        """Return the recordings."""
        return augment.Bank(self.wave[...], self.length[...])


class FrontEnd(nnx.Module):
    """Features of waves: a log-mel spectrogram, or the 312 functionals of the whole input or of each window."""

    def __init__(
        self,
        spectrogram: Spectrogram | None,
        seconds: float,
        *,
        target_dbfs: float | None = None,
        pad_mode: PadMode = "zeros",
        window: float | None = None,
    ):
        """Keep the settings.

        Args:
            spectrogram: Its layout; None for functionals.
            seconds: Length of the network's input, in s.
            target_dbfs: RMS level to which each input is brought, in dB; None leaves it.
            pad_mode: Padding of shorter clips: zeros, or the clip again.
            window: Length in s of the windows whose functionals are a sequence; None: the whole input is one.
        """
        self.spectrogram = spectrogram
        self.samples = round(seconds * SAMPLE_RATE)
        self.window = self.samples if window is None else round(window * SAMPLE_RATE)
        self.target_dbfs, self.pad_mode = target_dbfs, pad_mode
        self.features = NUM_FUNCTIONALS if spectrogram is None else spectrogram.mels

    def __call__(
        self, wave: Float[Array, "b t"], lengths: Int[Array, "b"]
    ) -> tuple[Float[Array, "b n d"], Int[Array, "b"]]:
        """Return features and true frames of clips, cut or filled up to the network's length."""
        wave = wave[:, : self.samples].astype(jnp.float32)
        wave = jnp.pad(wave, ((0, 0), (0, self.samples - wave.shape[1])))
        lengths = jnp.minimum(lengths, self.samples)
        if self.target_dbfs is not None:
            wave = augment.level(wave, lengths, self.target_dbfs)
        if self.pad_mode == "repeat":
            wave, lengths = augment.wrap(wave, lengths)
        if self.spectrogram is None:
            return self._functionals(wave, lengths)
        image = log_mel(wave, self.spectrogram).swapaxes(1, 2)
        return image, jnp.minimum(lengths // self.spectrogram.hop + 1, image.shape[1])

    def _functionals(
        self, wave: Float[Array, "b t"], lengths: Int[Array, "b"]
    ) -> tuple[Float[Array, "b n 312"], Int[Array, "b"]]:
        """Return the values of windows, and how many windows it takes to reach each clip's end."""
        hop = self.window // 2
        count = 1 + (self.samples - self.window) // hop
        windows = jnp.stack([wave[:, i * hop : i * hop + self.window] for i in range(count)], axis=1)
        values = functionals(windows.reshape(-1, self.window)).reshape(wave.shape[0], count, NUM_FUNCTIONALS)
        # A clip's last window is filled up with zeros, as a clip is that is read at once.
        return values, jnp.clip(1 + -(-(lengths - self.window) // hop), 1, count)


def augmented(
    wave: Float[Array, "b t"],
    lengths: Int[Array, "b"],
    key: PRNGKeyArray,
    config: AugmentConfig,
    banks: Mapping[str, Recordings],
) -> tuple[Float[Array, "b t"], Int[Array, "b"]]:
    """Change speed, then gain, room and noise; `banks` are the recordings of `noise` and `rir`, as far as given."""
    speed, gain, room, noise = jax.random.split(key, 4)
    if config.speed_factors:
        wave, lengths = augment.speed(speed, wave, lengths, config.speed_factors)
    if config.gain_p:
        wave = augment.gain(gain, wave, -config.gain, config.gain, config.gain_p)
    if "rir" in banks:
        wave = augment.reverberate(room, wave, lengths, banks["rir"](), config.rir_p)
    bank = banks["noise"]() if "noise" in banks else None
    if config.noise_levels:
        clean = 1 - sum(p for p, _ in config.noise_levels)
        choices = ((clean, ()), *((p, (snr,)) for p, snr in config.noise_levels))
        wave = augment.mix_noise_choice(noise, wave, lengths, bank, choices)
    elif config.noise_p:
        wave = augment.mix_noise(noise, wave, lengths, bank, *config.noise_snr, config.noise_p)
    return wave, lengths
