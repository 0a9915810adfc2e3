"""Layout of wav2vec2-conformer: wav2vec2's convolutions and conformer layers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from serjax.models.encoders import wav2vec2_config
from serjax.models.encoders.base import Size
from serjax.models.encoders.families import of_layout
from serjax.models.encoders.wav2vec2_bert_config import conformer_contradiction
from serjax.models.encoders.wav2vec2_config import Wav2Vec2Config
from serjax.runtime.constraints import Rate, Width

if TYPE_CHECKING:
    Families = str
else:
    Families = Literal[of_layout("wav2vec2_conformer")]
"""A model_type of this layout."""


@dataclass(frozen=True)
class Wav2Vec2ConformerConfig(Wav2Vec2Config):
    """Layout of the encoder, as `Wav2Vec2ConformerConfig` of transformers names it.

    `layer_norm_eps` is that of the norms around the layers; those inside of them have 1e-5. The positional convolution
    (`num_conv_pos_embeddings`) has weights, but nothing passes through it, in transformers as in fairseq.
    """

    absent = {"add_adapter": False}  # noqa: RUF012
    fixed = frozenset({"do_stable_layer_norm"})

    model_type: Families = "wav2vec2-conformer"
    position_embeddings_type: Literal["rotary", "relative"] | None = "relative"
    rotary_embedding_base: Width = 10_000
    conv_depthwise_kernel_size: Width = 31
    conformer_conv_dropout: Rate = 0.1

    @property
    def norm_first(self) -> bool:
        """A norm follows the last layer."""
        return True

    @property
    def sums_by_version(self) -> bool:
        """Versions of transformers sum layers unlike, as of all encoders with a norm behind the last layer."""
        return True

    @property
    def layers_hear_padding(self) -> bool:
        """True: the depthwise convolutions see the padding in transformers."""
        return True

    @property
    def batch_padding_counts(self) -> bool:
        """The depthwise convolutions see the padding in transformers, whatever the norm of the first one is."""
        return True

    def contradiction(self) -> str | None:
        """Return a sentence on fields that contradict each other, if there are any."""
        return super().contradiction() or conformer_contradiction(self)

    def is_fixed(self, path: tuple[str | int, ...]) -> bool:
        """Return whether a parameter is never trained.

        These are the running statistics of batch norm (the layers always use the checkpoint's, so that no clip depends
        on the others of its batch), the rates of rotary positions, and the positional convolution.
        """
        batch_norm = "batch_norm" in path and path[-1] in ("mean", "var")
        return batch_norm or path[:2] in (("encoder", "pos_conv_embed"), ("encoder", "embed_positions"))


def preset(family: str, size: Size) -> Wav2Vec2ConformerConfig | None:
    """Return the published layout (large) or one of ours for training from scratch.

    large is facebook/wav2vec2-conformer-rel-pos-large. tiny and small have the convolutions of wav2vec2's. There is no
    medium.
    """
    alike = wav2vec2_config.preset("wav2vec2", size)
    if alike is None:
        return None
    fields: dict[str, Any] = {
        key: getattr(alike, key) for key in Wav2Vec2ConformerConfig.keys(family) if hasattr(alike, key)
    }
    return Wav2Vec2ConformerConfig(**fields | {"model_type": family, "hidden_act": "silu"})
