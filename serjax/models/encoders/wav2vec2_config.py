"""Layout of wav2vec2, HuBERT, WavLM and UniSpeech, which agree on the keys of config.json."""

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import pydantic

from serjax.models.encoders.base import Activation, BaseEncoderConfig, Length, Size, at_least_none
from serjax.models.encoders.families import FAMILIES, foreign_keys, of_layout
from serjax.runtime.constraints import Count, Layers, Positive, Rate, Share, Width

if TYPE_CHECKING:
    Families = str
else:
    Families = Literal[of_layout("wav2vec2")]
"""A model_type of this layout."""
Convolutions = Annotated[tuple[Width, ...], pydantic.Field(max_length=32)]
_LONGEST = 60 * 16_000
"""Samples of a frame, at most."""


@dataclass(frozen=True)
class Wav2Vec2Config(BaseEncoderConfig):
    """Layout of an encoder, as `HubertConfig`, `Wav2Vec2Config`, `WavLMConfig` and so on of transformers name it."""

    absent = {"add_adapter": False, "conv_pos_batch_norm": False}  # noqa: RUF012
    fixed: ClassVar[frozenset[str]] = frozenset()
    """Fields that transformers' configuration of these families has not: their value is the class's own."""

    model_type: Families = "hubert"
    hidden_size: Width = 768
    num_hidden_layers: Layers = 12
    num_attention_heads: Width = 12
    intermediate_size: Width = 3072
    hidden_act: Activation = "gelu"
    hidden_dropout: Rate = 0.1
    activation_dropout: Rate = 0.1
    attention_dropout: Rate = 0.1
    feat_proj_layer_norm: bool = True
    feat_proj_dropout: Rate = 0.0
    final_dropout: Rate = 0.1
    layerdrop: Rate = 0.1
    layer_norm_eps: Positive = 1e-5
    feat_extract_norm: Literal["group", "layer"] = "group"
    feat_extract_activation: Activation = "gelu"
    conv_dim: Convolutions = (512, 512, 512, 512, 512, 512, 512)
    conv_stride: Convolutions = (5, 2, 2, 2, 2, 2, 2)
    conv_kernel: Convolutions = (10, 3, 3, 3, 3, 2, 2)
    conv_bias: bool = False
    num_conv_pos_embeddings: Width = 128
    num_conv_pos_embedding_groups: Width = 16
    do_stable_layer_norm: bool = False
    apply_spec_augment: bool = True
    mask_time_prob: Share = 0.05
    mask_time_length: Width = 10
    mask_time_min_masks: Count = 2
    mask_feature_prob: Share = 0.0
    mask_feature_length: Width = 10
    mask_feature_min_masks: Count = 0
    num_buckets: Annotated[int, pydantic.Field(ge=4, le=1 << 17)] = 320
    max_bucket_distance: Width = 800
    adapter_attn_dim: Width | None = None

    @property
    def frame_hop(self) -> int:
        """Samples from one frame to the next (320 as published, 20 ms)."""
        return prod(self.conv_stride)

    @property
    def min_samples(self) -> int:
        """Receptive field of one frame."""
        return self.receptive_field

    @property
    def receptive_field(self) -> int:
        """Samples that a frame is computed from (400 as published)."""
        field, hop = 1, 1
        for kernel, stride in zip(self.conv_kernel, self.conv_stride, strict=True):
            field, hop = field + (kernel - 1) * hop, hop * stride
        return field

    @property
    def norm_first(self) -> bool:
        """True where norms stand before the layers."""
        return self.do_stable_layer_norm

    @property
    def sums_by_version(self) -> bool:
        """True where versions of transformers sum layers unlike: of pre-LN encoders."""
        return self.do_stable_layer_norm

    @property
    def batch_padding_counts(self) -> bool:
        """True where group norm's statistics include the padding."""
        return self.feat_extract_norm == "group"

    def frames(self, samples: Length, layers: int | None = None) -> Length:
        """Return how many frames the convolutions make of so many samples; 0 for less than the receptive field.

        Args:
            samples: A number, or an integer array of any shape.
            layers: Count only the first `layers` convolutions; by default all.
        """
        for kernel, stride in list(zip(self.conv_kernel, self.conv_stride, strict=True))[:layers]:
            samples = (samples - kernel) // stride + 1
        return at_least_none(samples)

    @classmethod
    def keys(cls, model_type: str) -> frozenset[str]:
        """Return the fields that a family heeds."""
        return super().keys(model_type) - foreign_keys(model_type) - cls.fixed

    def to_dict(self) -> dict[str, Any]:
        """Return the entries of a config.json, of those that the family heeds."""
        return {key: value for key, value in super().to_dict().items() if key in self.keys(self.model_type)}

    def contradiction(self) -> str | None:
        """Return a sentence on fields that contradict each other, if there are any."""
        if undivided := self.undivided("hidden_size", "num_attention_heads", "num_conv_pos_embedding_groups"):
            return undivided
        if self.max_bucket_distance <= self.num_buckets // 4:
            return (
                f"max_bucket_distance is {self.max_bucket_distance}; it must be above a quarter of num_buckets "
                f"({self.num_buckets})."
            )
        layers = len(self.conv_dim)
        if layers == 0:
            return "conv_dim is empty; it must have an entry for each convolution."
        for key in ("conv_kernel", "conv_stride"):
            if len(getattr(self, key)) != layers:
                return f"{key} has {len(getattr(self, key))} entries and conv_dim {layers}."
        if max(self.min_samples, self.frame_hop) > _LONGEST:
            return "conv_kernel and conv_stride make frames of more than a minute; correct them."
        return None

    def is_stem(self, path: tuple[str | int, ...]) -> bool:
        """Return whether a parameter is of the convolutions."""
        return path[0] == "feature_extractor"


def preset(family: str, size: Size) -> Wav2Vec2Config | None:
    """Return a published layout (base, large) or one of ours for training from scratch (tiny, small).

    base is facebook/hubert-base-ls960, facebook/wav2vec2-base, microsoft/wavlm-base and microsoft/unispeech-sat-base;
    large is facebook/hubert-large-ll60k, facebook/wav2vec2-large-xlsr-53, microsoft/wavlm-large,
    microsoft/unispeech-large-1500h-cv and microsoft/unispeech-sat-large. tiny learns from some hundred clips, small is
    a size to pretrain on a desk. There is no medium.
    """
    layer_norm: dict[str, Any] = {"feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True}
    sizes: dict[str, dict[str, Any]] = {
        "tiny": {
            **layer_norm,
            "hidden_size": 128,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "intermediate_size": 256,
            # Three convolutions that see and step as far as the published seven, at a fifth of their time.
            "conv_dim": (64,) * 3,
            "conv_kernel": (20, 15, 4),
            "conv_stride": (10, 8, 4),
            "num_conv_pos_embeddings": 32,
            "num_conv_pos_embedding_groups": 4,
            "layerdrop": 0.0,
        },
        "small": {
            **layer_norm,
            "hidden_size": 256,
            "num_hidden_layers": 6,
            "num_attention_heads": 4,
            "intermediate_size": 1024,
            # Narrow where frames are many, as in SEW (Wu et al., 2021): a sixth of the products of seven times 256.
            "conv_dim": (64, 64, 128, 128, 256, 256, 256),
            "num_conv_pos_embeddings": 64,
            "layerdrop": 0.05,
        },
        "base": {"feat_proj_dropout": 0.1},
        "large": {
            **layer_norm,
            "hidden_size": 1024,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "intermediate_size": 4096,
            "feat_proj_dropout": 0.1,
            **FAMILIES[family].large,
        },
    }
    return Wav2Vec2Config(model_type=family, **sizes[size]) if size in sizes else None
