"""What kind of model an experiment trains, said in one way for encoders and for networks on spectrograms or values."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from serjax.audio import SAMPLE_RATE
from serjax.audio.augment import AugmentConfig, load_bank
from serjax.checkpoints.efficientnet import pretrained_network
from serjax.checkpoints.resnet import load_resnet
from serjax.checkpoints.run_models import save_fold, save_network
from serjax.config.experiment import Experiment, cache_folder
from serjax.data.batching.lengths import FRAME
from serjax.data.dataset import Data
from serjax.data.store.face_features import Units, read_archive
from serjax.features.frozen import encode
from serjax.features.statistics import Moments, standardization, unit_moments
from serjax.models.encoders.config import receptive_field
from serjax.models.encoders.wav2vec2 import SpeechEncoder
from serjax.models.functional import Params, abstract, count, flat, overlay
from serjax.models.fusion.config import first_stage as frozen_branches
from serjax.models.fusion.freezing import is_frozen as is_frozen_in_fusion
from serjax.models.fusion.freezing import rate_groups
from serjax.models.fusion.model import audio_visual
from serjax.models.spectrogram import FrontEnd, SoundClassifier
from serjax.models.speech import Classifier, Head, is_frozen
from serjax.runs.starts import Start, Trunk, encoder_start, find_trunk, read_starts, stacked
from serjax.runtime.errors import UserError, one_of
from serjax.runtime.progress import Say
from serjax.training.fold_axis import choose_together, fold_axis
from serjax.training.initialize import initial
from serjax.training.jobs import Job, job_key
from serjax.training.loop import Engine
from serjax.training.resident import ResidentEngine
from serjax.training.streamed import StreamedEngine

SECONDS = 60.0
"""Of each recording of noise or impulse response that is kept in memory."""


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


class Setup(NamedTuple):
    """What is trained: an engine, its first parameters, and what puts a job's model together again."""

    engine: Engine
    params: Any
    graphdef: nnx.GraphDef[Any]
    frozen: Params
    trunk: SpeechEncoder | None
    trainable: int
    parameters: int
    shared: bool = True

    def after(self, first: "Setup", trained: Params) -> "Setup":
        """Return the setup with parameters [k, ...] that a first stage has trained."""
        axis = self.engine.axis
        # A stage on stored features knows heads alone, by their names in the head.
        given = nnx.State({"head": trained}) if first.trunk is not None else trained
        return self._replace(params=axis.jit(overlay, "kk")(self.params, axis.put(given)))

    def frozen_of(self, k: int) -> Params:
        """Return what job k does not train."""
        if self.shared:
            return self.frozen
        return jax.tree.map(lambda x: x[k], self.engine.axis.get(self.frozen))


def set_up(experiment: Experiment, data: Data, jobs: Sequence[Job], plan: Blueprint, say: Say) -> Setup:
    """Build what is trained, on all devices.

    Raises:
        UserError: crops or clips are too short for one frame.
    """
    model, least = experiment.model, plan.shortest
    if experiment.data.seconds < least / SAMPLE_RATE:
        raise UserError(
            f"--data.seconds {experiment.data.seconds:g}: the model's first frame takes {least / SAMPLE_RATE:g} s; "
            "give more."
        )
    short = [clip.id for clip, length in zip(data.store.utterances, data.store.lengths, strict=True) if length < least]
    if short:
        raise UserError(
            f"{len(short)} clips are shorter than this model's first frame of {least} samples at 16 kHz "
            f"({one_of(short)}); leave them out."
        )
    alone = model.frozen == "trunk"
    if model.family == "fusion":
        groups = (*experiment.optimizer.groups, *rate_groups(experiment.fusion))
        experiment = replace(experiment, optimizer=replace(experiment.optimizer, groups=groups))
    together, why = choose_together(experiment.folds.together, backend=jax.default_backend(), frozen_trunk=alone)
    say(why)
    axis = fold_axis(len(jobs), experiment.train.batch_size // experiment.train.accumulate, together=together)
    keys = jnp.stack([job_key(experiment, job) for job in jobs])
    shared_key = jax.random.key(experiment.seed)
    classes = len(data.labels)

    make, train = partial(plan.make, classes), [job.train for job in jobs]
    if not alone:
        graphdef, params, frozen = initial(make, plan.frozen, keys, shared_key, axis, plan.given)
        if plan.moments is not None:
            moments = standardization(
                plan.moments,
                data.store,
                train,
                crop=experiment.data.eval_crop,
                folder=cache_folder(experiment) / "features",
                say=say,
            )
            params = axis.jit(overlay, "kk")(params, axis.put(moments))
        if isinstance(data.frames, Units):
            params = axis.jit(overlay, "kk")(params, axis.put(unit_moments(data.frames, train)))
        # A start that each fold has of its own makes what is frozen each fold's own, too.
        own = stacked(plan.starts, data, jobs, abstract(make))
        if own is not None:
            params = axis.jit(overlay, "kk")(params, axis.put(own))
            frozen = axis.jit(overlay, "sk")(axis.share(frozen), axis.put(own))
        one, still = axis.first(params), frozen if own is None else axis.first(frozen)
        engine: Engine = StreamedEngine(
            graphdef,
            one,
            frozen,
            jobs,
            data.store,
            data.classes,
            classes,
            experiment,
            axis,
            shared=own is None,
            **({} if data.frames is None else {"beside": data.frames.rows}),
        )
        return Setup(engine, params, graphdef, frozen, None, count(one), count(one) + count(still), own is None)

    # One model, for its trunk; every job gets a head of its own.
    single = fold_axis(1, 1, together=True, devices=jax.devices()[:1])
    graphdef, params, frozen = initial(make, plan.frozen, keys[:1], shared_key, single, plan.given)
    whole = nnx.merge(graphdef, single.first(params), frozen)
    features = encode(
        whole,
        model,
        data.store,
        data.classes,
        samples=round(experiment.data.seconds * SAMPLE_RATE),
        crop=experiment.data.eval_crop,
        folder=cache_folder(experiment) / "features",
        say=say,
    )
    layers, width = features.states.shape[1], features.states.shape[3]
    head_def, heads, _ = initial(
        lambda rngs: Head(model, layers, width, classes, rngs=rngs), lambda path: False, keys, shared_key, axis, {}
    )
    one = axis.first(heads)
    engine = ResidentEngine(head_def, one, jobs, features, classes, experiment, axis)
    return Setup(engine, heads, head_def, {}, whole.trunk, count(one), count(one) + count(frozen))


def first_stage(
    experiment: Experiment, data: Data, jobs: Sequence[Job], plan: Blueprint, say: Say
) -> tuple[Experiment, Setup]:
    """Return what trains the jobs' heads alone, before `experiment` trains more."""
    train = experiment.train
    first = replace(
        experiment,
        model=experiment.model if experiment.model.sees else replace(experiment.model, freeze="trunk"),
        fusion=frozen_branches(experiment.fusion),
        train=replace(train, epochs=experiment.first_epochs, head_epochs=0),
        stages="one",
        # Groups divide the second stage's rate among trunk and head; the first has a rate of its own.
        optimizer=replace(experiment.optimizer, groups=()),
    )
    jobs = [replace(job, peak=train.head_lr) for job in jobs]
    return first, set_up(first, data, jobs, blueprint(first, plan), say)
