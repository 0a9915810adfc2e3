"""Table of the families of speech encoders.

A family whose layers are wav2vec2's is one line here. One with layers of its own is a file beside this one, too, with a
class `SpeechEncoder`; and one whose config.json has other keys a file for its configuration.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal


@dataclass(frozen=True)
class Family:
    """Properties of a family, for checkpoints and their config.json.

    Attributes:
        architecture: beginning of its classes' names in transformers, such as `Hubert` of `HubertModel`.
        prefix: of the encoder's keys in the checkpoint of a task.
        module: file beside this one that has its `SpeechEncoder`.
        layout: file beside this one, without its `_config`, that has the class of its configuration.
        classifier: end of the name of its class for classification in transformers.
        outer: what some classes of transformers put before all keys, and others do not.
        keys: of config.json that no family heeds but those that name them.
        large: fields of the published large layout in which it differs from HuBERT's.
        in_transformers: it has such classes; without, directories are of serjax's own making.
        always_mask_embed: transformers makes `masked_spec_embed` even where nothing is masked in training.
    """

    architecture: str
    prefix: str
    module: str = "wav2vec2"
    layout: str = "wav2vec2"
    classifier: str = "ForSequenceClassification"
    outer: str = ""
    keys: frozenset[str] = frozenset()
    large: Mapping[str, Any] = field(default_factory=dict)
    always_mask_embed: bool = False
    in_transformers: bool = True

    @property
    def own(self) -> str:
        """Beginning of the encoder's keys in the checkpoint of a task."""
        return self.prefix or "encoder."


_BUCKETS = frozenset({"num_buckets", "max_bucket_distance"})
_ADAPTER = frozenset({"adapter_attn_dim"})
FAMILIES: dict[str, Family] = {
    "data2vec-audio": Family("Data2VecAudio", "data2vec_audio.", "data2vec", "data2vec"),
    "emotion2vec": Family("Emotion2Vec", "emotion2vec.", "emotion2vec", "emotion2vec", in_transformers=False),
    "hubert": Family("Hubert", "hubert.", keys=_ADAPTER | {"feat_proj_layer_norm"}),
    "sew": Family("SEW", "sew.", "sew", "sew"),
    "unispeech": Family("UniSpeech", "unispeech.", keys=_ADAPTER),
    "unispeech-sat": Family(
        "UniSpeechSat", "unispeech_sat.", keys=_ADAPTER, large={"conv_bias": False}, always_mask_embed=True
    ),
    "wav2vec2": Family("Wav2Vec2", "wav2vec2.", keys=_ADAPTER),
    "wav2vec2-bert": Family("Wav2Vec2Bert", "wav2vec2_bert.", "wav2vec2_bert", "wav2vec2_bert"),
    "wav2vec2-conformer": Family(
        "Wav2Vec2Conformer", "wav2vec2_conformer.", "wav2vec2_conformer", "wav2vec2_conformer"
    ),
    "wavlm": Family("WavLM", "wavlm.", keys=_BUCKETS, large={"conv_bias": False}),
    "whisper": Family("Whisper", "", "whisper", "whisper", "ForAudioClassification", outer="model."),
}
"""By model_type of config.json."""


if TYPE_CHECKING:
    EncoderFamily = str
else:
    EncoderFamily = Literal[tuple(FAMILIES)]
"""A model_type of the table."""


def foreign_keys(model_type: str) -> frozenset[str]:
    """Return the keys of config.json that other families heed and this one ignores."""
    return frozenset().union(*(family.keys for family in FAMILIES.values())) - FAMILIES[model_type].keys


def of_layout(layout: str) -> tuple[str, ...]:
    """Return the families whose configuration has a class in common."""
    return tuple(name for name, family in FAMILIES.items() if family.layout == layout)
