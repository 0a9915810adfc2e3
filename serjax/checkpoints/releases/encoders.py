"""Encoders that a release names but does not describe: its weights come without their config.json."""

from pathlib import Path
from typing import NamedTuple

from serjax.checkpoints.preprocessor import read_preprocessor
from serjax.models.encoders import config as encoder_config
from serjax.models.encoders.base import Size
from serjax.models.encoders.config import EncoderConfig
from serjax.runtime.errors import UserError, brief
from serjax.runtime.json_files import read_json

OWN_CONFIG = "encoder_config.json"
"""The encoder's config.json, beside the release's files under this name, counts before the table."""


class _Named(NamedTuple):
    """A published encoder; `normalize` is do_normalize of its preprocessor_config.json."""

    family: str
    size: Size
    normalize: bool


_NAMED = {
    "facebook/hubert-base-ls960": _Named("hubert", "base", True),
    "facebook/hubert-large-ll60k": _Named("hubert", "large", True),
    "facebook/wav2vec2-base": _Named("wav2vec2", "base", True),
    "facebook/wav2vec2-large-robust": _Named("wav2vec2", "large", True),
    "facebook/wav2vec2-large-xlsr-53": _Named("wav2vec2", "large", True),
    "microsoft/wavlm-base": _Named("wavlm", "base", False),
    "microsoft/wavlm-base-plus": _Named("wavlm", "base", False),
    "microsoft/wavlm-large": _Named("wavlm", "large", True),
    "openai/whisper-base": _Named("whisper", "base", False),
    "openai/whisper-large-v3": _Named("whisper", "large", False),
    "openai/whisper-medium": _Named("whisper", "medium", False),
    "openai/whisper-small": _Named("whisper", "small", False),
    "openai/whisper-tiny": _Named("whisper", "tiny", False),
}


def named_encoder(name: object, directory: Path, where: str) -> tuple[EncoderConfig, bool]:
    """Return the layout of an encoder that was published under a name, and whether it takes normalised clips.

    Args:
        name: such as `microsoft/wavlm-large`.
        directory: of the release, where an `encoder_config.json`, and beside it a preprocessor_config.json, may lie.
        where: file and key that name it, for a message.

    Raises:
        UserError: the name is not in the table and no such file is there, or the file is no layout of an encoder.
    """
    path = directory / OWN_CONFIG
    if path.is_file():
        config = encoder_config.from_dict(read_json(path), str(path))
        return config, read_preprocessor(directory, config)[0].normalize
    if not isinstance(name, str) or name not in _NAMED:
        raise UserError(
            f"{where} is {brief(name)}, an encoder whose layout serjax does not know by name (it knows "
            f"{', '.join(_NAMED)}); put its config.json beside it as {OWN_CONFIG}."
        )
    found = _NAMED[name]
    return encoder_config.preset(found.family, found.size), found.normalize
