"""Layout of w2v-BERT 2.0's encoder: the keys of its config.json."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Le

from serjax.models.encoders.base import Activation, BaseEncoderConfig, Length, Size, at_least_none
from serjax.models.encoders.families import of_layout
from serjax.runtime.constraints import Count, Layers, Positive, Rate, Share, Width

if TYPE_CHECKING:
    Families = str
else:
    Families = Literal[of_layout("wav2vec2_bert")]
"""A model_type of this layout."""

WIDTH, HOP = 400, 160
"""Samples of a frame of the filter bank, and from one to the next."""
STACKED = 2
"""Frames of the filter bank that are one frame of the encoder."""
_Distance = Annotated[int, Ge(0), Le(1 << 17)]


@dataclass(frozen=True)
class Wav2Vec2BertConfig(BaseEncoderConfig):
    """Layout of the encoder, as `Wav2Vec2BertConfig` of transformers names it."""

    absent = {"add_adapter": False, "use_intermediate_ffn_before_adapter": False}  # noqa: RUF012

    model_type: Families = "wav2vec2-bert"
    hidden_size: Width = 1024
    num_hidden_layers: Layers = 24
    num_attention_heads: Width = 16
    intermediate_size: Width = 4096
    feature_projection_input_dim: Width = 160
    hidden_act: Activation = "silu"
    hidden_dropout: Rate = 0.0
    activation_dropout: Rate = 0.0
    attention_dropout: Rate = 0.0
    feat_proj_dropout: Rate = 0.0
    layerdrop: Rate = 0.1
    layer_norm_eps: Positive = 1e-5
    apply_spec_augment: bool = True
    mask_time_prob: Share = 0.05
    mask_time_length: Width = 10
    mask_time_min_masks: Count = 2
    mask_feature_prob: Share = 0.0
    mask_feature_length: Width = 10
    mask_feature_min_masks: Count = 0
    position_embeddings_type: Literal["rotary", "relative", "relative_key"] | None = "relative_key"
    rotary_embedding_base: Width = 10_000
    left_max_position_embeddings: _Distance = 64
    right_max_position_embeddings: _Distance = 8
    conv_depthwise_kernel_size: Width = 31
    conformer_conv_dropout: Rate = 0.1

    @property
    def frame_hop(self) -> int:
        """Samples from one frame to the next, 20 ms."""
        return STACKED * HOP

    @property
    def min_samples(self) -> int:
        """Samples of the frames of the filter bank that are one frame, 35 ms."""
        return WIDTH + (STACKED - 1) * HOP

    @property
    def norm_first(self) -> bool:
        """A conformer layer ends in a norm of its own, and no other follows the last one."""
        return False

    @property
    def batch_padding_counts(self) -> bool:
        """Nothing depends on the padding: its feature extractor always tells it apart."""
        return False

    @property
    def mel_bins(self) -> int:
        """Filters of the spectrogram."""
        return self.feature_projection_input_dim // STACKED

    def frames(self, samples: Length) -> Length:
        """Return how many frames are of so many samples; an odd last frame of the filter bank is none."""
        return at_least_none((samples - self.min_samples) // self.frame_hop + 1)

    def contradiction(self) -> str | None:
        """Return a sentence on fields that contradict each other, if there are any."""
        inputs = self.feature_projection_input_dim
        if inputs % STACKED:
            return f"feature_projection_input_dim is {inputs}; it must be even, for {STACKED} frames of a filter bank."
        return self.undivided("hidden_size", "num_attention_heads") or conformer_contradiction(self)

    def is_stem(self, path: tuple[str | int, ...]) -> bool:
        """Return False: the filter bank has no parameters, and no convolutions stand before the layers."""
        return False


def conformer_contradiction(config: Any) -> str | None:
    """Return a sentence on fields of conformer layers that contradict each other, if there are any."""
    taps, width = config.conv_depthwise_kernel_size, config.hidden_size // config.num_attention_heads
    if taps % 2 == 0:
        return f"conv_depthwise_kernel_size is {taps}; it must be odd."
    kind = config.position_embeddings_type
    if (kind == "rotary" and width % 2) or (kind == "relative" and config.hidden_size % 2):
        return f"position_embeddings_type is {kind!r}, but a head's {width} features are not even in number."
    return None


def preset(family: str, size: Size) -> Wav2Vec2BertConfig | None:
    """Return the published layout, that of facebook/w2v-bert-2.0 (large), or one of ours for training from scratch.

    There is no medium.
    """
    small = {"hidden_dropout": 0.1, "feat_proj_dropout": 0.1}
    sizes: dict[str, dict[str, Any]] = {
        "tiny": shape(128, 3, 4, 256) | small | {"layerdrop": 0.0},
        "small": shape(256, 6, 4, 1024) | small | {"layerdrop": 0.05},
        "base": shape(768, 12, 12, 3072) | small,
        "large": {},
    }
    return Wav2Vec2BertConfig(model_type=family, **sizes[size]) if size in sizes else None


def shape(width: int, layers: int, heads: int, inner: int) -> dict[str, Any]:
    """Return the fields of a transformer's size."""
    return {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": inner,
    }
