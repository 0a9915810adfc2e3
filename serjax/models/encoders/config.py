"""Layout of any speech encoder: Hugging Face's config.json, as far as it decides what is computed."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, get_args

import pydantic

from serjax.models.encoders import emotion2vec_config, wav2vec2_config, whisper_config
from serjax.models.encoders.base import Size
from serjax.models.encoders.emotion2vec_config import Emotion2vecConfig
from serjax.models.encoders.families import FAMILIES, EncoderFamily
from serjax.models.encoders.wav2vec2_config import Wav2Vec2Config
from serjax.models.encoders.whisper_config import WhisperConfig
from serjax.runtime.errors import UserError

EncoderConfig = Annotated[
    Emotion2vecConfig | Wav2Vec2Config | WhisperConfig, pydantic.Field(discriminator="model_type")
]
"""Layout of an encoder, told apart by its `model_type`."""

OWN = "serjax_"
"""Stands before the model_type of an encoder whose head transformers does not have, so that its auto classes refuse the
directory: with a model_type that they know they would put a random head on the encoder."""

_CLASSES: dict[str, type[Emotion2vecConfig] | type[Wav2Vec2Config] | type[WhisperConfig]] = {
    "emotion2vec": Emotion2vecConfig,
    "wav2vec2": Wav2Vec2Config,
    "whisper": WhisperConfig,
}
_PRESETS: dict[str, Callable[[str, Size], EncoderConfig | None]] = {
    "emotion2vec": emotion2vec_config.preset,
    "wav2vec2": wav2vec2_config.preset,
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
        found = "missing" if "model_type" not in mapping else repr(model_type)
        raise UserError(f"{source}: model_type is {found}; serjax has {', '.join(FAMILIES)}; give such a checkpoint.")
    return _CLASSES[FAMILIES[model_type].layout].from_dict({**mapping, "model_type": model_type}, source)


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
