"""The encoder that a configuration describes."""

from importlib import import_module

from flax import nnx

from serjax.models.encoders.config import EncoderConfig
from serjax.models.encoders.families import FAMILIES
from serjax.models.encoders.stack import BaseEncoder


def build_encoder(config: EncoderConfig, *, rngs: nnx.Rngs) -> BaseEncoder:
    """Return an encoder of the configuration's family with random weights."""
    module = import_module(f"serjax.models.encoders.{FAMILIES[config.model_type].module}")
    encoder: BaseEncoder = module.SpeechEncoder(config, rngs=rngs)
    return encoder
