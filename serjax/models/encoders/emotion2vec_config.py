"""Layout of emotion2vec, which is that of data2vec 2.0 for sound: the keys of its config.json."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from serjax.models.encoders.base import BaseEncoderConfig, Length, Size
from serjax.models.encoders.families import of_layout
from serjax.models.encoders.wav2vec2_config import Convolutions, Wav2Vec2Config
from serjax.runtime.constraints import Count, Layers, Positive, Rate, Share, Width
from serjax.runtime.errors import UserError

if TYPE_CHECKING:
    Families = str
else:
    Families = Literal[of_layout("emotion2vec")]
"""A model_type of this layout."""

_OF_TRAINING = ("dropout", "layerdrop", "apply_", "mask_")


@dataclass(frozen=True)
class Emotion2vecConfig(BaseEncoderConfig):
    """Layout of the encoder; keys are named as wav2vec2's in transformers, others as in FunASR's config.yaml.

    Attributes:
        num_hidden_layers: prenet and blocks together; `prenet_depth` of them are the prenet's.
        num_conv_pos_embeddings: positional convolutions, each of a kernel of `conv_pos_kernel_size`.
        num_extra_tokens: learned vectors that stand before the frames in every layer.
        learned_alibi_scale: the factors of ALiBi are trained; one for each head and layer, or for all of them.
        dropout_input: between prenet and blocks.
        post_mlp_dropout: behind the feed-forward, whose own is `activation_dropout`.
    """

    drops = ("layerdrop", "prenet_layerdrop")

    model_type: Families = "emotion2vec"
    hidden_size: Width = 768
    num_hidden_layers: Layers = 12
    prenet_depth: Layers = 4
    num_attention_heads: Width = 12
    intermediate_size: Width = 3072
    layer_norm_eps: Positive = 1e-5
    conv_dim: Convolutions = (512, 512, 512, 512, 512, 512, 512)
    conv_stride: Convolutions = (5, 2, 2, 2, 2, 2, 2)
    conv_kernel: Convolutions = (10, 3, 3, 3, 3, 2, 2)
    num_conv_pos_embeddings: Layers = 5
    conv_pos_kernel_size: Width = 19
    num_conv_pos_embedding_groups: Width = 16
    num_extra_tokens: Layers = 10
    learned_alibi_scale: bool = True
    learned_alibi_scale_per_head: bool = True
    learned_alibi_scale_per_layer: bool = False
    hidden_dropout: Rate = 0.1
    attention_dropout: Rate = 0.1
    activation_dropout: Rate = 0.0
    post_mlp_dropout: Rate = 0.1
    prenet_dropout: Rate = 0.1
    dropout_input: Rate = 0.0
    layerdrop: Rate = 0.05
    prenet_layerdrop: Rate = 0.05
    apply_spec_augment: bool = False
    mask_time_prob: Share = 0.05
    mask_time_length: Width = 5
    mask_time_min_masks: Count = 2
    mask_feature_prob: Share = 0.0
    mask_feature_length: Width = 64
    mask_feature_min_masks: Count = 0

    @property
    def convolutions(self) -> Wav2Vec2Config:
        """Layout of the convolutions, which are wav2vec 2.0's with layer norm and without biases."""
        return Wav2Vec2Config(
            feat_extract_norm="layer",
            conv_bias=False,
            conv_dim=self.conv_dim,
            conv_stride=self.conv_stride,
            conv_kernel=self.conv_kernel,
        )

    @property
    def frame_hop(self) -> int:
        """Samples from one frame to the next (320 as published, 20 ms)."""
        return self.convolutions.frame_hop

    @property
    def min_samples(self) -> int:
        """Receptive field of one frame (400 as published)."""
        return self.convolutions.min_samples

    @property
    def extra_tokens(self) -> int:
        """Learned vectors that stand before a clip's frames in every layer."""
        return self.num_extra_tokens

    @property
    def norm_first(self) -> bool:
        """Norms stand behind the layers."""
        return False

    @property
    def batch_padding_counts(self) -> bool:
        """No statistics are taken over a clip's padding."""
        return False

    @property
    def wave_epsilon(self) -> float:
        """Epsilon of PyTorch's layer norm, with which FunASR normalises a clip."""
        return 1e-5

    def frames(self, samples: Length) -> Length:
        """Return how many frames so many samples give, without the extra tokens."""
        return self.convolutions.frames(samples)

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any], source: str) -> Self:
        """Read a config.json's object; see `BaseEncoderConfig`. There is no default of what decides a shape.

        Raises:
            UserError: a key is missing, of the wrong kind, or asks for something that serjax does not compute.
        """
        needed = (key for key in sorted(cls.keys("emotion2vec")) if not any(part in key for part in _OF_TRAINING))
        missing = [key for key in needed if key not in mapping]
        if missing:
            raise UserError(
                f"{source}: {missing[0]} is missing, so this is no emotion2vec that serjax wrote; give such a "
                "directory, or FunASR's with config.yaml and model.pt."
            )
        return super().from_dict(mapping, source)

    def contradiction(self) -> str | None:
        """Return a sentence on fields that contradict each other, if there are any."""
        if undivided := self.undivided("hidden_size", "num_attention_heads", "num_conv_pos_embedding_groups"):
            return undivided
        if self.prenet_depth > self.num_hidden_layers:
            return f"prenet_depth is {self.prenet_depth}, more than num_hidden_layers ({self.num_hidden_layers})."
        return self.convolutions.contradiction()

    def is_stem(self, path: tuple[str | int, ...]) -> bool:
        """Return whether a parameter is of the convolutions."""
        return path[0] == "feature_extractor"

    def is_fixed(self, path: tuple[str | int, ...]) -> bool:
        """Return whether a parameter is of ALiBi's factors, where these are not learned."""
        return not self.learned_alibi_scale and path[:2] == ("encoder", "alibi_scale")


def preset(family: str, size: Size) -> Emotion2vecConfig | None:
    """Return a published layout (base, large) or one of ours for training from scratch (tiny, small).

    base is that of emotion2vec, and of emotion2vec+ seed and base; large that of data2vec 2.0, which has the 300
    million weights of emotion2vec+ large. There is no medium.
    """
    sizes: dict[str, dict[str, Any]] = {
        "tiny": {
            "hidden_size": 128,
            "num_hidden_layers": 3,
            "prenet_depth": 1,
            "num_attention_heads": 4,
            "intermediate_size": 256,
            # Three convolutions that see and step as far as the published seven, at a fifth of their time.
            "conv_dim": (64,) * 3,
            "conv_kernel": (20, 15, 4),
            "conv_stride": (10, 8, 4),
            "num_conv_pos_embedding_groups": 4,
            "layerdrop": 0.0,
            "prenet_layerdrop": 0.0,
        },
        "small": {
            "hidden_size": 256,
            "num_hidden_layers": 6,
            "prenet_depth": 2,
            "num_attention_heads": 4,
            "intermediate_size": 1024,
            "conv_dim": (64, 64, 128, 128, 256, 256, 256),
        },
        "base": {},
        "large": {
            "hidden_size": 1024,
            "num_hidden_layers": 24,
            "prenet_depth": 8,
            "num_attention_heads": 16,
            "intermediate_size": 4096,
        },
    }
    return Emotion2vecConfig(model_type=family, **sizes[size]) if size in sizes else None
