"""Settings of models."""

from dataclasses import dataclass
from typing import Literal, get_args

from serjax.models.encoders.config import EncoderFamily
from serjax.models.functional import DType

Family = Literal[
    "hubert", "wav2vec2", "wavlm", "efficientnet", "audio_cnn", "audio_resnet18", "bilstm", "video", "fusion"
]
"""All models."""


@dataclass(frozen=True)
class ModelConfig:
    """Encoder, pooling and head."""

    family: Family = "hubert"
    """Which encoder to build when `size` is given (a checkpoint says it itself), or a network on spectrograms
    (efficientnet, audio_cnn, audio_resnet18), on 312 hand-made values (bilstm), on video, or on sound and video
    (fusion)."""
    checkpoint: str | None = None
    """Hugging Face directory or hub id of pretrained weights."""
    size: Literal["tiny", "small", "base", "large"] | None = None
    """Start from random weights of this size; wins over `checkpoint`."""
    pooling: Literal["mean", "stat", "attentive", "tanh_attention"] = "attentive"
    """Over frames: mean, mean and standard deviation, or a mean with weights that are learned: softmax over time of two
    layers (attentive) or of tanh(x . w) (tanh_attention)."""
    attention_size: int = 128
    """Width of attentive pooling's hidden layer."""
    head: Literal["layernorm_gelu", "layernorm_relu", "relu", "linear"] = "layernorm_relu"
    """LayerNorm, Linear, GELU or ReLU, Dropout, Linear; relu: the same without LayerNorm; or one Linear layer."""
    head_size: int = 256
    """Width of the head's hidden layer."""
    dropout: float = 0.1
    """Dropout in the head."""
    final_dropout: float = 0.0
    """Dropout on the hidden states that are pooled."""
    weighted_layers: bool = False
    """Learn a softmax-weighted sum of the hidden states of all layers; otherwise the last layer is used."""
    freeze: Literal["auto", "nothing", "cnn", "layers", "trunk"] = "auto"
    """Frozen parts get no gradient and no dropout. auto: the CNN of a checkpoint, nothing of random weights. trunk:
    clips are encoded once and only heads are trained."""
    frozen_layers: int = 0
    """freeze=layers: the CNN and this many transformer layers from the bottom are frozen."""
    mask_time_prob: float | None = None
    """SpecAugment over time: share of frames masked in training; by default the checkpoint's own."""
    mask_feature_prob: float | None = None
    """SpecAugment over features: share of features masked in training; by default the checkpoint's own."""
    layerdrop: float | None = None
    """Probability to skip a transformer layer in training; by default the checkpoint's own."""
    padding: Literal["exact", "transformers"] = "exact"
    """exact: padding changes nothing. transformers: group norm sees the padding, and where the checkpoint's
    preprocessor_config.json has no mask, so does all the rest, as `transformers` computes it."""
    remat: bool = False
    """Recompute transformer layers in the backward pass: less memory, about a third more time."""
    dtype: DType = "float32"
    """What the forward and backward pass compute in; weights and optimizer stay float32."""

    @property
    def frozen(self) -> Literal["nothing", "cnn", "layers", "trunk"]:
        """What is frozen, with auto resolved."""
        if self.freeze != "auto":
            return self.freeze
        return "cnn" if self.size is None and self.is_encoder else "nothing"

    @property
    def is_encoder(self) -> bool:
        """Whether the model is an encoder with a head, and no network on features of its own making."""
        return self.family in get_args(EncoderFamily)

    @property
    def sees(self) -> bool:
        """Whether the model looks at video."""
        return self.family in ("video", "fusion")

    @property
    def hears(self) -> bool:
        """Whether the model listens to sound."""
        return self.family != "video"
