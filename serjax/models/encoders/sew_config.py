"""Layout of SEW (Squeezed and Efficient Wav2vec): wav2vec2's keys of config.json, and its squeeze factor."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from serjax.models.encoders.base import Size
from serjax.models.encoders.families import of_layout
from serjax.models.encoders.wav2vec2_config import Convolutions, Wav2Vec2Config
from serjax.runtime.constraints import Width

if TYPE_CHECKING:
    Families = str
else:
    Families = Literal[of_layout("sew")]
"""A model_type of this layout."""


@dataclass(frozen=True)
class SEWConfig(Wav2Vec2Config):
    """Layout of an encoder, as `SEWConfig` of transformers names it; norms stand after the layers."""

    fixed = frozenset({"do_stable_layer_norm"})

    model_type: Families = "sew"
    squeeze_factor: Width = 2
    conv_dim: Convolutions = (64, *(128,) * 4, *(256,) * 4, *(512,) * 4)
    conv_stride: Convolutions = (5, *(2, 1) * 6)
    conv_kernel: Convolutions = (10, *(3, 1) * 4, *(2, 1) * 2)

    @property
    def squeezed(self) -> int:
        """Frames that the layers see as one."""
        return self.squeeze_factor

    @property
    def min_samples(self) -> int:
        """Samples of the frames that are squeezed into the first one (720 as published): fewer give only zeros."""
        return self.receptive_field + (self.squeeze_factor - 1) * self.frame_hop

    @property
    def layers_hear_padding(self) -> bool:
        """True: frames left over at a clip's end are squeezed with the padding."""
        return True

    @property
    def batch_padding_counts(self) -> bool:
        """True: frames left over by the squeeze are zero at the end of a batch, and squeezed with padding before it."""
        return True


def preset(family: str, size: Size) -> SEWConfig | None:
    """Return transformers' layout (base, 12 layers of 768) or one of ours for training from scratch (tiny, small)."""
    sizes: dict[str, dict[str, Any]] = {
        "tiny": {
            "hidden_size": 128,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "intermediate_size": 256,
            "conv_dim": (64,) * 3,
            "conv_kernel": (20, 15, 4),
            "conv_stride": (10, 8, 4),
            "num_conv_pos_embeddings": 32,
            "num_conv_pos_embedding_groups": 4,
            "layerdrop": 0.0,
        },
        "small": {
            "hidden_size": 256,
            "num_hidden_layers": 6,
            "num_attention_heads": 4,
            "intermediate_size": 1024,
            "conv_dim": (32, *(64,) * 4, *(128,) * 4, *(256,) * 4),
            "num_conv_pos_embeddings": 64,
            "layerdrop": 0.05,
        },
        "base": {},
    }
    return SEWConfig(model_type=family, **sizes[size]) if size in sizes else None
