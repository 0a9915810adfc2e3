"""Preparation of a checkpoint's input, as its preprocessor_config.json describes it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serjax.audio import SAMPLE_RATE
from serjax.models.encoders.config import EncoderConfig
from serjax.models.encoders.wav2vec2_bert_config import STACKED
from serjax.runtime.errors import UserError, brief
from serjax.runtime.json_files import read_json


@dataclass(frozen=True)
class Preprocessor:
    """Preparation of samples; the defaults are those of transformers' Wav2Vec2FeatureExtractor.

    Encoders that take a spectrogram (`mel_bins`) make it themselves: their samples stay as they are, and a batch's
    padding is always told apart.

    Attributes:
        normalize: bring each clip to zero mean and unit variance.
        sample_rate: Hz.
        return_attention_mask: padding was masked when the weights were trained.
    """

    normalize: bool = True
    sample_rate: int = SAMPLE_RATE
    return_attention_mask: bool = False

    def to_dict(self, config: EncoderConfig) -> dict[str, Any]:
        """Return the object of a preprocessor_config.json that makes its feature extractor in transformers."""
        entries = {"padding_side": "right", "padding_value": 0.0, "sampling_rate": self.sample_rate}
        if config.mel_bins is not None:
            return {"return_attention_mask": False} | entries | _spectrogram(config)
        return entries | {
            "do_normalize": self.normalize,
            "feature_extractor_type": "Wav2Vec2FeatureExtractor",
            "feature_size": 1,
            "return_attention_mask": self.return_attention_mask,
        }


def default_preprocessor(config: EncoderConfig) -> Preprocessor:
    """Return the preparation where no file describes it."""
    if config.model_type == "emotion2vec":
        # FunASR encodes one clip at a time.
        return Preprocessor(return_attention_mask=True)
    return Preprocessor() if config.mel_bins is None else Preprocessor(normalize=False, return_attention_mask=True)


def _spectrogram(config: EncoderConfig) -> dict[str, Any]:
    """Return the entries of a WhisperFeatureExtractor, or of w2v-BERT's SeamlessM4TFeatureExtractor."""
    samples = config.max_samples
    if samples is None:
        return {
            "feature_extractor_type": "SeamlessM4TFeatureExtractor",
            "feature_size": config.mel_bins,
            "num_mel_bins": config.mel_bins,
            "stride": STACKED,
            "return_attention_mask": True,
        }
    return {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "feature_size": config.mel_bins,
        "n_fft": 400,
        "hop_length": 160,
        # Transformers multiplies it by the rate.
        "chunk_length": samples // SAMPLE_RATE if samples % SAMPLE_RATE == 0 else samples / SAMPLE_RATE,
        "n_samples": samples,
        "nb_max_frames": samples // 160,
        "dither": 0.0,
    }


def read_preprocessor(directory: Path, config: EncoderConfig) -> tuple[Preprocessor, tuple[str, ...]]:
    """Read preprocessor_config.json, or the feature extractor's part of processor_config.json (transformers 5).

    Args:
        directory: of the checkpoint.
        config: of its encoder.

    Returns:
        The preprocessor, and a note where neither file is there and the defaults were taken.

    Raises:
        UserError: a value is of the wrong kind, or the rate is not the one that serjax decodes to; or a spectrogram is
            not the one that the encoder takes.
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
    default = default_preprocessor(config)
    rate = values.get("sampling_rate", default.sample_rate)
    if rate != SAMPLE_RATE:
        raise UserError(
            f"{path}: sampling_rate is {brief(repr(rate))}, but serjax works at {SAMPLE_RATE} Hz; use other weights."
        )
    if config.mel_bins is not None:
        for key, value in _spectrogram(config).items():
            if values.get(key, value) != value:
                raise UserError(
                    f"{path}: {key} is {brief(repr(values[key]))}, but the encoder of config.json takes {value!r}; "
                    "give a preprocessor_config.json and a config.json of one model."
                )
        what = f"a log-mel spectrogram of {config.mel_bins} filters is made"
    else:
        what = "each clip is normalised"
    notes = () if values else (f"{directory} has no preprocessor_config.json: {what}, at {rate} Hz.",)
    if config.mel_bins is not None:
        # Its do_normalize has no effect in transformers, nor has Whisper's return_attention_mask.
        return default, notes
    normalize = values.get("do_normalize", default.normalize)
    masked = values.get("return_attention_mask", default.return_attention_mask)
    for key, value in (("do_normalize", normalize), ("return_attention_mask", masked)):
        if not isinstance(value, bool):
            raise UserError(f"{path}: {key} is {brief(repr(value))}; it must be true or false.")
    return Preprocessor(normalize, rate, masked), notes
