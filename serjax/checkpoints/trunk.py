"""The encoder that an experiment starts from."""

from typing import NamedTuple, cast

from serjax.checkpoints.encoders import Encoders, find_encoders
from serjax.checkpoints.preprocessor import Preprocessor
from serjax.config import EncoderFamily, ModelConfig
from serjax.errors import UserError
from serjax.models.encoder import SpeechEncoder
from serjax.models.encoder_config import EncoderConfig, preset


class Trunk(NamedTuple):
    """An encoder.

    Attributes:
        config: its layout.
        preprocessor: how its input is prepared.
        pretrained: its weights; None where they are random, or every fold has its own.
        notes: what to say of it.
        encoders: where it comes from; None: from nowhere.
    """

    config: EncoderConfig
    preprocessor: Preprocessor
    pretrained: SpeechEncoder | None
    notes: tuple[str, ...]
    encoders: Encoders | None = None


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
    encoders = find_encoders(model.checkpoint)
    encoder, preprocessor, notes = encoders.of(min(encoders.folders))
    family = encoder.config.model_type
    other = "" if family == model.family else f" (not {model.family}, as the experiment says)"
    whose = "" if encoders.shared else ", each fold from its own encoder"
    note = f"{family}{other} starts from {model.checkpoint}{whose}."
    return Trunk(encoder.config, preprocessor, encoder if encoders.shared else None, (note, *notes), encoders)
