"""Layout of Whisper's encoder: the keys of its config.json."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from serjax.models.encoders.base import Activation, BaseEncoderConfig, Length, Size
from serjax.models.encoders.families import of_layout
from serjax.runtime.constraints import Count, Layers, Rate, Share, Width

if TYPE_CHECKING:
    Families = str
else:
    Families = Literal[of_layout("whisper")]
"""A model_type of this layout."""

HOP = 160
"""Samples from one frame of the spectrogram to the next; the second convolution halves their number."""


@dataclass(frozen=True)
class WhisperConfig(BaseEncoderConfig):
    """Layout of the encoder, as `WhisperConfig` of transformers names it; the decoder's keys are ignored."""

    drops = ("encoder_layerdrop",)

    model_type: Families = "whisper"
    num_mel_bins: Width = 80
    d_model: Width = 384
    encoder_layers: Layers = 4
    encoder_attention_heads: Width = 6
    encoder_ffn_dim: Width = 1536
    encoder_layerdrop: Rate = 0.0
    activation_function: Activation = "gelu"
    dropout: Rate = 0.0
    attention_dropout: Rate = 0.0
    activation_dropout: Rate = 0.0
    max_source_positions: Width = 1500
    apply_spec_augment: bool = False
    mask_time_prob: Share = 0.05
    mask_time_length: Width = 10
    mask_time_min_masks: Count = 2
    mask_feature_prob: Share = 0.0
    mask_feature_length: Width = 10
    mask_feature_min_masks: Count = 0

    @property
    def hidden_size(self) -> int:  # type: ignore[override]
        """Features of a frame."""
        return self.d_model

    @property
    def num_hidden_layers(self) -> int:  # type: ignore[override]
        """Layers of the encoder."""
        return self.encoder_layers

    @property
    def num_attention_heads(self) -> int:  # type: ignore[override]
        """Heads of each layer."""
        return self.encoder_attention_heads

    @property
    def frame_hop(self) -> int:
        """Samples from one frame to the next, 20 ms."""
        return 2 * HOP

    @property
    def min_samples(self) -> int:
        """Samples of one frame, of which a clip must have one: it stands in their middle, and sees some beyond."""
        return self.frame_hop

    @property
    def max_samples(self) -> int:
        """Samples of all positions (30 s as published): there are no further ones."""
        return self.frame_hop * self.max_source_positions

    @property
    def layers_hear_padding(self) -> bool:
        """True: clips are padded to 30 s, which are looked at as a whole."""
        return True

    @property
    def norm_first(self) -> bool:
        """Norms stand before the layers."""
        return True

    @property
    def batch_padding_counts(self) -> bool:
        """Nothing depends on the batch: with padding="transformers" every clip is padded to `max_samples`."""
        return False

    @property
    def mel_bins(self) -> int:
        """Filters of the spectrogram."""
        return self.num_mel_bins

    def frames(self, samples: Length) -> Length:
        """Return how many frames are of so many samples, samples // 320 as EmoBox counts."""
        return samples // self.frame_hop

    def to_dict(self) -> dict[str, Any]:
        """Return the entries of a config.json; the decoder, which transformers makes too, has no layers."""
        decoder = {"decoder_layers": 0, "decoder_attention_heads": self.encoder_attention_heads}
        return {**super().to_dict(), **decoder, "decoder_ffn_dim": self.encoder_ffn_dim}

    def contradiction(self) -> str | None:
        """Return a sentence on fields that contradict each other, if there are any."""
        return self.undivided("d_model", "encoder_attention_heads")

    def is_stem(self, path: tuple[str | int, ...]) -> bool:
        """Return whether a parameter is of the two convolutions."""
        return path[:1] == ("encoder",) and path[1] in ("conv1", "conv2")

    def is_fixed(self, path: tuple[str | int, ...]) -> bool:
        """Return whether a parameter is of the sinusoids, which no training changes."""
        return path[:2] == ("encoder", "embed_positions")


def preset(family: str, size: Size) -> WhisperConfig:
    """Return the published layout of a size; large is that of openai/whisper-large-v3 and -large-v3-turbo."""
    width, layers, mels = {
        "tiny": (384, 4, 80),
        "base": (512, 6, 80),
        "small": (768, 12, 80),
        "medium": (1024, 24, 80),
        "large": (1280, 32, 128),
    }[size]
    return WhisperConfig(
        model_type=family,
        num_mel_bins=mels,
        d_model=width,
        encoder_layers=layers,
        encoder_attention_heads=width // 64,
        encoder_ffn_dim=4 * width,
    )
