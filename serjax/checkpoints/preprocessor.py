"""Preparation of a checkpoint's input, as its preprocessor_config.json describes it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serjax.audio import SAMPLE_RATE
from serjax.runtime.errors import UserError, brief
from serjax.runtime.json_files import read_json


@dataclass(frozen=True)
class Preprocessor:
    """Preparation of samples; the defaults are those of transformers' Wav2Vec2FeatureExtractor.

    Attributes:
        normalize: bring each clip to zero mean and unit variance.
        sample_rate: Hz.
        return_attention_mask: padding was masked when the weights were trained.
    """

    normalize: bool = True
    sample_rate: int = SAMPLE_RATE
    return_attention_mask: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the object of a preprocessor_config.json that makes a Wav2Vec2FeatureExtractor in transformers."""
        return {
            "do_normalize": self.normalize,
            "feature_extractor_type": "Wav2Vec2FeatureExtractor",
            "feature_size": 1,
            "padding_side": "right",
            "padding_value": 0.0,
            "return_attention_mask": self.return_attention_mask,
            "sampling_rate": self.sample_rate,
        }


def read_preprocessor(directory: Path) -> tuple[Preprocessor, tuple[str, ...]]:
    """Read preprocessor_config.json, or the feature extractor's part of processor_config.json (transformers 5).

    Returns:
        The preprocessor, and a note where neither file is there and the defaults were taken.

    Raises:
        UserError: a value is of the wrong kind, or the rate is not the one that serjax decodes to.
    """
    path = directory / "preprocessor_config.json"
    values: Any = {}
    if path.is_file():
        values = read_json(path)
    else:
        path = directory / "processor_config.json"
        values = read_json(path).get("feature_extractor", {}) if path.is_file() else {}
        if not isinstance(values, dict):
            raise UserError(f"{path}: feature_extractor is {brief(repr(values))}; it must be an object.")
    default = Preprocessor()
    normalize = values.get("do_normalize", default.normalize)
    rate = values.get("sampling_rate", default.sample_rate)
    masked = values.get("return_attention_mask", default.return_attention_mask)
    for key, value in (("do_normalize", normalize), ("return_attention_mask", masked)):
        if not isinstance(value, bool):
            raise UserError(f"{path}: {key} is {brief(repr(value))}; it must be true or false.")
    if rate != SAMPLE_RATE:
        raise UserError(
            f"{path}: sampling_rate is {brief(repr(rate))}, but serjax works at {SAMPLE_RATE} Hz; use other weights."
        )
    notes = () if values else (f"{directory} has no preprocessor_config.json: each clip is normalised, at {rate} Hz.",)
    return Preprocessor(normalize, rate, masked), notes
