"""The encoder that an experiment starts from."""

from typing import NamedTuple, cast

from serjax.checkpoints.huggingface import load_encoder
from serjax.checkpoints.preprocessor import Preprocessor
from serjax.config import EncoderFamily, ModelConfig
from serjax.errors import UserError
from serjax.models.encoder import SpeechEncoder
from serjax.models.encoder_config import EncoderConfig, preset


class Trunk(NamedTuple):
    """An encoder's layout, how its input is prepared, its weights where it has been pretrained, and what to say."""

    config: EncoderConfig
    preprocessor: Preprocessor
    pretrained: SpeechEncoder | None
    notes: tuple[str, ...]


def find_trunk(model: ModelConfig) -> Trunk:
    """Return the trunk that `model.size` describes or `model.checkpoint` names.

    Raises:
        UserError: neither is given, or the checkpoint cannot be used.
    """
    if model.size is not None:
        note = f"{model.family} of size {model.size} starts from random weights."
        return Trunk(preset(cast(EncoderFamily, model.family), model.size), Preprocessor(), None, (note,))
    if model.checkpoint is None:
        raise UserError("--model.checkpoint and --model.size are both missing; give a checkpoint or a size.")
    encoder, preprocessor, notes = load_encoder(model.checkpoint)
    family = encoder.config.model_type
    other = "" if family == model.family else f" (not {model.family}, as the experiment says)"
    note = f"{family}{other} starts from {model.checkpoint}."
    return Trunk(encoder.config, preprocessor, encoder, (note, *notes))
