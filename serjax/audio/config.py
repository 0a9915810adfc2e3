"""Settings of augmentation of sound."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le

from serjax.runtime.constraints import AtLeastOne, Count, Finite, NotNegative, Share
from serjax.runtime.errors import UserError

Codec = Literal["telephone", "mp3", "opus"]


@dataclass(frozen=True)
class AugmentConfig:
    """Augmentation of clips in training, drawn anew for each clip and epoch."""

    speed_factors: tuple[Annotated[float, Ge(0.1), Le(10)], ...] = ()
    """Factors of speed (and pitch), each as likely."""
    gain: NotNegative = 0.0
    """Gain from minus to plus so many dB."""
    gain_p: Share = 0.0
    """Probability of gain."""
    noise: str | None = None
    """Folder of noise recordings; without one, noise is Gaussian."""
    noise_snr: tuple[Finite, Finite] = (10.0, 50.0)
    """Signal-to-noise ratio in dB, drawn evenly from this range."""
    noise_p: Share = 0.0
    """Probability of noise."""
    noise_levels: tuple[tuple[Share, Finite], ...] = ()
    """In place of a range: pairs of a probability and its signal-to-noise ratio in dB; the rest stays clean."""
    rir: str | None = None
    """Folder of room impulse responses."""
    rir_p: Share = 0.0
    """Probability of reverberation."""
    codec: tuple[Codec, ...] = ()
    """Codecs of which a clip passes through one, each as likely: telephone (300 to 3400 Hz, G.711 at 8 kHz), mp3 (32
    kbit/s), opus (16 kbit/s). Each clip is encoded once, and kept in the cache beside the clips."""
    codec_p: Share = 0.5
    """Probability that a clip passes through one of codec."""
    babble_p: Share = 0.0
    """Probability of babble: voices of other training clips of the same fold, from anywhere in them."""
    babble_voices: tuple[AtLeastOne, AtLeastOne] = (3, 7)
    """Fewest and most voices, each as loud."""
    babble_snr: tuple[Finite, Finite] = (13.0, 20.0)
    """Signal-to-noise ratio in dB of a clip to all voices, drawn evenly from this range; this and babble_voices are
    those of x-vectors (Snyder et al. 2018)."""
    mixup: NotNegative = 0.0
    """Mix each clip and its label with another's, with a share drawn from Beta(mixup, mixup); 0 for never."""
    mixup_of: Literal["waves", "features"] = "waves"
    """Mix waves, or the spectrograms or hand-made features that a network takes."""
    mel_masks: Count = 0
    """SpecAugment on spectrograms: masked stripes over frequency."""
    mel_width: AtLeastOne = 20
    """Widest such stripe, in mels."""
    time_masks: Count = 0
    """Masked stripes over time."""
    time_width: AtLeastOne = 40
    """Widest such stripe, in frames."""
    mask_p: Share = 0.5
    """Probability that a clip is masked at all."""

    @property
    def changes_waves(self) -> bool:
        """True where anything but mixup changes waves."""
        return any((self.speed_factors, self.gain_p, self.noise_p, self.noise_levels, self.rir_p))

    @property
    def changes_channel(self) -> bool:
        """True where clips come through codecs or amid babble, which batches of training are read with."""
        return bool((self.codec and self.codec_p) or self.babble_p)

    def check(self) -> None:
        """Refuse combinations that cannot be.

        Raises:
            UserError: names the field.
        """
        for folder, p in ((self.noise, self.noise_p or self.noise_levels), (self.rir, self.rir_p)):
            if folder is not None and not p:
                raise UserError(
                    f"augment names the folder {folder}, but its probability is 0; give --augment.noise-p or "
                    "--augment.rir-p, or leave the folder out."
                )
        low, high = self.noise_snr
        if low > high or sum(p for p, _ in self.noise_levels) > 1:
            raise UserError(
                "augment.noise_snr must rise, and probabilities of augment.noise_levels add up to 1 or less."
            )
        if len(set(self.codec)) < len(self.codec):
            raise UserError(f"augment.codec is {self.codec}; it must name each codec once.")
        for name, (low, high) in (("babble_voices", self.babble_voices), ("babble_snr", self.babble_snr)):
            if low > high:
                raise UserError(f"augment.{name} is {(low, high)}; it must rise.")
