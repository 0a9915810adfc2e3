"""What kind of model an experiment trains, said in one way for encoders and for networks on spectrograms or values."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from flax import nnx
from jaxtyping import Array

from serjax.audio.augment import load_bank
from serjax.checkpoints.resnet import load_resnet
from serjax.checkpoints.run import save_fold, save_network
from serjax.checkpoints.trunk import Trunk, find_trunk
from serjax.config import AugmentConfig, Experiment, ModelConfig
from serjax.data.lengths import FRAME
from serjax.data.units import read_archive
from serjax.errors import UserError
from serjax.models.classifier import Classifier, is_frozen
from serjax.models.efficientnet import EfficientNetConfig, load_efficientnet
from serjax.models.encoder_config import receptive_field
from serjax.models.fusion import audio_visual
from serjax.models.fusion_freezing import is_frozen as is_frozen_in_fusion
from serjax.models.sound_classifier import FrontEnd, SoundClassifier
from serjax.training.init import flat
from serjax.warm_start import Start, encoder_start, read_starts

SECONDS = 60.0
"""Of each recording of noise or impulse response that is kept in memory."""


class Moments(NamedTuple):
    """Features that are standardised by their moments over a fold's training clips.

    Attributes:
        front: makes the features.
        path: where the model holds their mean and deviation.
    """

    front: FrontEnd
    path: tuple[str, ...]


class Blueprint(NamedTuple):
    """How a model is made, started and saved.

    Attributes:
        family: what the model is called.
        notes: sentences for the user on what it starts from.
        shortest: fewest samples of a clip that it can take; 0 where it does not hear.
        make: builds one for so many classes.
        given: parameters by name that a checkpoint has, such as `trunk.encoder.layer_norm.scale`.
        frozen: whether training leaves the parameter at a path alone.
        save: writes one fold's model into the run folder.
        trunk: the encoder, where there is one.
        moments: what is standardised; None: nothing.
        starts: finished runs that the folds start from.
        warnings: what a report of its scores has to say.
    """

    family: str
    notes: tuple[str, ...]
    shortest: int
    make: Callable[[int, nnx.Rngs], nnx.Module]
    given: Mapping[str, Array]
    frozen: Callable[[Any], bool]
    save: Callable[[Path, int, Any, Sequence[str]], None]
    trunk: Trunk | None
    moments: Moments | None = None
    starts: tuple[Start, ...] = ()
    warnings: tuple[str, ...] = ()


def blueprint(experiment: Experiment, read: Blueprint | None = None) -> Blueprint:
    """Return how the experiment's model is made.

    Args:
        experiment: what to train.
        read: of another stage of it, whose encoder and starts need not be read again.

    Raises:
        UserError: a checkpoint, or a folder of sounds for augmentation, cannot be used.
    """
    trunk = None if read is None else read.trunk
    if experiment.model.is_encoder:
        return _encoder(experiment, trunk or find_trunk(experiment.model))
    if experiment.model.sees:
        starts = read_starts(experiment) if read is None else read.starts
        return _audio_visual(experiment, trunk, starts)
    return _network(experiment)


def _encoder(experiment: Experiment, trunk: Trunk) -> Blueprint:
    model = experiment.model
    encoders = trunk.encoders
    starts: tuple[Start, ...] = ()
    if encoders is not None and not encoders.shared:
        if model.frozen == "trunk" or experiment.first_epochs:
            raise UserError(
                f"--model.checkpoint {encoders.source}: each fold has an encoder of its own there, but a frozen trunk "
                "(model.freeze, train.head_epochs) serves all folds; train the encoders, or give one of them, such as "
                f"{encoders.folders[min(encoders.folders)]}."
            )
        starts = (encoder_start(encoders),)
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
        starts=starts,
        warnings=() if encoders is None or encoders.warning is None else (encoders.warning,),
    )


def _network(experiment: Experiment) -> Blueprint:
    shapes, banks = _banks(experiment.augment)
    pretrained, notes = pretrained_network(experiment.model)
    return Blueprint(
        family=experiment.model.family,
        notes=notes,
        shortest=FRAME,
        make=lambda classes, rngs: SoundClassifier(experiment, classes, shapes, rngs=rngs),
        given=pretrained | banks,
        frozen=lambda path: path[0] == "banks",
        save=save_network,
        trunk=None,
        moments=Moments(FrontEnd(experiment.model.family, experiment.data), ("standardize",)),
    )


def _audio_visual(experiment: Experiment, trunk: Trunk | None, starts: tuple[Start, ...]) -> Blueprint:
    model, fusion, video = experiment.model, experiment.fusion, experiment.video
    hears = model.family == "fusion"
    if hears and fusion.audio == "wavlm":
        trunk = trunk or find_trunk(replace(model, family="wavlm"))
        if trunk.encoders is not None and not trunk.encoders.shared:
            raise UserError(
                f"--model.checkpoint {model.checkpoint}: it is a run; give one encoder, or --warm-start.audio."
            )
    shapes, given = _banks(experiment.augment) if hears else ({}, {})
    notes: list[str] = []
    if trunk is not None:
        pretrained = {} if trunk.pretrained is None else flat(nnx.state(trunk.pretrained, nnx.Param))
        given |= {f"audio.trunk.{name}": leaf for name, leaf in pretrained.items()}
        notes += trunk.notes
    if video.checkpoint is not None:
        state = flat(nnx.state(load_resnet(video.checkpoint), (nnx.Param, nnx.BatchStat)))
        given |= {f"video.resnet.{name}": leaf for name, leaf in state.items()}
    units = None if video.units is None else read_archive(video.units)[1].shape[1]
    seeing = "ResNet18" if units is None else f"{units} units"
    notes.append(f"What sees ({seeing}) starts from {video.checkpoint or 'random weights'}.")

    layout: dict[str, Any] = {"banks": shapes, "units": units}
    if trunk is not None:
        prepared = trunk.preprocessor
        layout |= {"normalize": prepared.normalize, "masked": prepared.return_attention_mask, "encoder": trunk.config}
    standardized = hears and trunk is None
    return Blueprint(
        family=f"{fusion.kind} fusion of {fusion.audio} and {seeing}" if hears else f"{seeing} on video",
        notes=tuple(notes),
        shortest=0 if not hears else FRAME if trunk is None else receptive_field(trunk.config),
        make=lambda classes, rngs: audio_visual(experiment, classes, **layout, rngs=rngs),
        given=given,
        frozen=lambda path: is_frozen_in_fusion(tuple(path), fusion, None if trunk is None else trunk.config),
        save=partial(save_network, trunk=trunk, units=units),
        trunk=trunk,
        moments=Moments(FrontEnd(fusion.audio, experiment.data), ("audio", "standardize")) if standardized else None,
        starts=starts,
    )


def _banks(augment: AugmentConfig) -> tuple[dict[str, tuple[int, ...]], dict[str, Array]]:
    """Return the shapes of the recordings that are mixed in, and the recordings as a model's parameters by name."""
    banks = {
        name: load_bank(folder, SECONDS, option)
        for name, folder, option in (
            ("noise", augment.noise, "--augment.noise"),
            ("rooms", augment.rooms, "--augment.rooms"),
        )
        if folder is not None
    }
    given = {f"banks.{name}.{field}": array for name, bank in banks.items() for field, array in bank._asdict().items()}
    return {name: bank.wave.shape for name, bank in banks.items()}, given


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
