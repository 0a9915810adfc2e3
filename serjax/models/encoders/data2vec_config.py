"""Layout of data2vec-audio: wav2vec2's keys of config.json, with positional convolutions of its own."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from serjax.models.encoders import wav2vec2_config
from serjax.models.encoders.base import Size
from serjax.models.encoders.families import of_layout
from serjax.models.encoders.wav2vec2_config import Wav2Vec2Config
from serjax.runtime.constraints import Layers, Width

if TYPE_CHECKING:
    Families = str
else:
    Families = Literal[of_layout("data2vec")]
"""A model_type of this layout."""


@dataclass(frozen=True)
class Data2VecConfig(Wav2Vec2Config):
    """Layout of an encoder, as `Data2VecAudioConfig` of transformers names it.

    `num_conv_pos_embeddings` is how many positional convolutions there are. Norms stand after all convolutions and
    after the layers, whatever config.json has: transformers has no other.
    """

    fixed = frozenset({"feat_extract_norm", "do_stable_layer_norm"})

    model_type: Families = "data2vec-audio"
    feat_extract_norm: Literal["layer"] = "layer"
    num_conv_pos_embeddings: Layers = 5
    conv_pos_kernel_size: Width = 19

    @property
    def batch_padding_counts(self) -> bool:
        """True: from the second positional convolution on, frames of the padding are no longer zero."""
        return True


def preset(family: str, size: Size) -> Data2VecConfig | None:
    """Return a published layout (base, large) or one of ours for training from scratch (tiny, small).

    base is facebook/data2vec-audio-base, large is facebook/data2vec-audio-large; tiny and small are those of wav2vec2.
    """
    like = wav2vec2_config.preset("wav2vec2", size)
    if like is None:
        return None
    own = {"model_type": family, "conv_bias": False, "feat_proj_dropout": 0.0, "num_conv_pos_embeddings": 5}
    shared = Data2VecConfig.keys(family) & vars(like).keys() - own.keys()
    return Data2VecConfig(**own, **{key: getattr(like, key) for key in shared})  # type: ignore[arg-type]
