"""The encoder that a configuration describes."""

from importlib import import_module

from flax import nnx

from serjax.models.encoders.config import EncoderConfig
from serjax.models.encoders.families import FAMILIES
from serjax.models.encoders.wav2vec2 import SpeechEncoder


def build_encoder(config: EncoderConfig, *, rngs: nnx.Rngs) -> SpeechEncoder:
    """Return an encoder of the configuration's family with random weights."""
    module = import_module(f"serjax.models.encoders.{FAMILIES[config.model_type].module}")
    return module.SpeechEncoder(config, rngs=rngs)
