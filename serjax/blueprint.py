"""What kind of model an experiment trains, said in one way for encoders and for networks on spectrograms or values."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from flax import nnx
from jaxtyping import Array

from serjax.audio.augment import load_bank
from serjax.checkpoints.run import save_fold, save_network
from serjax.checkpoints.trunk import Trunk, find_trunk
from serjax.config import Experiment, ModelConfig
from serjax.data.lengths import FRAME
from serjax.errors import UserError
from serjax.models.classifier import Classifier, is_frozen
from serjax.models.efficientnet import EfficientNetConfig, load_efficientnet
from serjax.models.encoder_config import receptive_field
from serjax.models.sound_classifier import SoundClassifier
from serjax.training.init import flat

SECONDS = 60.0
"""Of each recording of noise or impulse response that is kept in memory."""


class Blueprint(NamedTuple):
    """How a model is made, started and saved.

    Attributes:
        family: what the model is called.
        notes: sentences for the user on what it starts from.
        shortest: fewest samples of a clip that it can take.
        make: builds one for so many classes.
        given: parameters by name that a checkpoint has, such as `trunk.encoder.layer_norm.scale`.
        frozen: whether training leaves the parameter at a path alone.
        save: writes one fold's model into the run folder.
        trunk: the encoder, where there is one.
    """

    family: str
    notes: tuple[str, ...]
    shortest: int
    make: Callable[[int, nnx.Rngs], nnx.Module]
    given: Mapping[str, Array]
    frozen: Callable[[Any], bool]
    save: Callable[[Path, int, Any, Sequence[str]], None]
    trunk: Trunk | None


def blueprint(experiment: Experiment, trunk: Trunk | None = None) -> Blueprint:
    """Return how the experiment's model is made.

    Args:
        experiment: what to train.
        trunk: the encoder, where it has been read already.

    Raises:
        UserError: a checkpoint, or a folder of sounds for augmentation, cannot be used.
    """
    if experiment.model.is_encoder:
        return _encoder(experiment, trunk or find_trunk(experiment.model))
    return _network(experiment)


def _encoder(experiment: Experiment, trunk: Trunk) -> Blueprint:
    model = experiment.model
    prepared = {"normalize": trunk.preprocessor.normalize, "masked": trunk.preprocessor.return_attention_mask}
    pretrained = {} if trunk.pretrained is None else flat(nnx.state(trunk.pretrained, nnx.Param))
    return Blueprint(
        family=trunk.config.model_type,
        notes=trunk.notes,
        shortest=receptive_field(trunk.config),
        make=lambda classes, rngs: Classifier(model, trunk.config, classes, **prepared, rngs=rngs),
        given={f"trunk.{name}": leaf for name, leaf in pretrained.items()},
        frozen=partial(is_frozen, model=model, encoder=trunk.config),
        save=partial(save_fold, preprocessor=trunk.preprocessor),
        trunk=trunk,
    )


def _network(experiment: Experiment) -> Blueprint:
    augment = experiment.augment
    banks = {
        name: load_bank(folder, SECONDS, option)
        for name, folder, option in (
            ("noise", augment.noise, "--augment.noise"),
            ("rooms", augment.rooms, "--augment.rooms"),
        )
        if folder is not None
    }
    pretrained, notes = pretrained_network(experiment.model)
    return Blueprint(
        family=experiment.model.family,
        notes=notes,
        shortest=FRAME,
        make=lambda classes, rngs: SoundClassifier(
            experiment, classes, {name: bank.wave.shape for name, bank in banks.items()}, rngs=rngs
        ),
        given=pretrained
        | {f"banks.{name}.{field}": array for name, bank in banks.items() for field, array in bank._asdict().items()},
        frozen=lambda path: path[0] == "banks",
        save=save_network,
        trunk=None,
    )


def pretrained_network(model: ModelConfig) -> tuple[dict[str, Array], tuple[str, ...]]:
    """Return an EfficientNet checkpoint's parameters and statistics by name, and a sentence; without one, none.

    Raises:
        UserError: the checkpoint cannot be used, or is not of B0's layout.
    """
    if model.checkpoint is None:
        return {}, (f"{model.family} starts from random weights.",)
    network = load_efficientnet(model.checkpoint)
    plain = EfficientNetConfig(num_channels=1)
    if replace(network.config, drop_connect_rate=plain.drop_connect_rate, hidden_act=plain.hidden_act) != plain:
        raise UserError(f"{model.checkpoint}/config.json: its layout is not that of google/efficientnet-b0; give that.")
    state = flat(nnx.state(network, (nnx.Param, nnx.BatchStat)))
    return {f"network.{name}": leaf for name, leaf in state.items()}, (f"efficientnet starts from {model.checkpoint}.",)
