"""Layout of any speech encoder: Hugging Face's config.json, as far as it decides what is computed."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, get_args

import pydantic

from serjax.models.encoders import (
    data2vec_config,
    emotion2vec_config,
    sew_config,
    wav2vec2_bert_config,
    wav2vec2_config,
    wav2vec2_conformer_config,
    whisper_config,
)
from serjax.models.encoders.base import BaseEncoderConfig, Size
from serjax.models.encoders.data2vec_config import Data2VecConfig
from serjax.models.encoders.emotion2vec_config import Emotion2vecConfig
from serjax.models.encoders.families import FAMILIES, EncoderFamily
from serjax.models.encoders.sew_config import SEWConfig
from serjax.models.encoders.wav2vec2_bert_config import Wav2Vec2BertConfig
from serjax.models.encoders.wav2vec2_config import Wav2Vec2Config
from serjax.models.encoders.wav2vec2_conformer_config import Wav2Vec2ConformerConfig
from serjax.models.encoders.whisper_config import WhisperConfig
from serjax.runtime.errors import UserError, brief

EncoderConfig = Annotated[
    Wav2Vec2Config
    | Wav2Vec2BertConfig
    | Wav2Vec2ConformerConfig
    | WhisperConfig
    | Data2VecConfig
    | SEWConfig
    | Emotion2vecConfig,
    pydantic.Field(discriminator="model_type"),
]
"""Layout of an encoder, told apart by its `model_type`."""

OWN = "serjax_"
"""Stands before the model_type of an encoder whose head transformers does not have, so that its auto classes refuse the
directory: with a model_type that they know they would put a random head on the encoder."""

_CLASSES: dict[str, type[BaseEncoderConfig]] = {
    "data2vec": Data2VecConfig,
    "emotion2vec": Emotion2vecConfig,
    "sew": SEWConfig,
    "wav2vec2": Wav2Vec2Config,
    "wav2vec2_bert": Wav2Vec2BertConfig,
    "wav2vec2_conformer": Wav2Vec2ConformerConfig,
    "whisper": WhisperConfig,
}
_PRESETS: dict[str, Callable[[str, Size], Any]] = {
    "data2vec": data2vec_config.preset,
    "emotion2vec": emotion2vec_config.preset,
    "sew": sew_config.preset,
    "wav2vec2": wav2vec2_config.preset,
    "wav2vec2_bert": wav2vec2_bert_config.preset,
    "wav2vec2_conformer": wav2vec2_conformer_config.preset,
    "whisper": whisper_config.preset,
}


def from_dict(mapping: Mapping[str, Any], source: str) -> EncoderConfig:
    """Read a config.json's object; keys that do not bear on the encoder are ignored.

    Args:
        mapping: The parsed JSON object.
        source: What to call it in a message, such as the file's path.

    Raises:
        UserError: a value is of the wrong kind, or asks for something that serjax does not compute.
    """
    model_type = mapping.get("model_type")
    if isinstance(model_type, str):
        model_type = model_type.removeprefix(OWN)
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        found = "missing" if "model_type" not in mapping else brief(repr(model_type))
        code = ", whose code comes with it (auto_map) and is never run" if mapping.get("auto_map") else ""
        raise UserError(
            f"{source}: model_type is {found}{code}; serjax has {', '.join(FAMILIES)}; give such a checkpoint."
        )
    config: Any = _CLASSES[FAMILIES[model_type].layout].from_dict({**mapping, "model_type": model_type}, source)
    return config


def preset(family: EncoderFamily, size: Size) -> EncoderConfig:
    """Return a published layout, or one of ours for training from scratch; see `preset` of the family's layout.

    Raises:
        UserError: the family has no such size.
    """
    config = _PRESETS[FAMILIES[family].layout](family, size)
    if config is None:
        raise UserError(f"--model.size {size}: {family} has no such size; there are {', '.join(sizes_of(family))}.")
    return config


def sizes_of(family: EncoderFamily) -> list[Size]:
    """Return the sizes that `preset` has of a family."""
    return [size for size in get_args(Size) if _PRESETS[FAMILIES[family].layout](family, size) is not None]
