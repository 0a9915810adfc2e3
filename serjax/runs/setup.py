"""Setup of a training: the model with its starting weights, and the engine that trains it."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from serjax.audio import SAMPLE_RATE
from serjax.audio.augment import load_bank
from serjax.audio.config import AugmentConfig
from serjax.checkpoints.efficientnet import pretrained_network
from serjax.checkpoints.resnet import load_resnet
from serjax.config.experiment import Experiment, cache_folder
from serjax.data.dataset import Data, open_channel
from serjax.data.folds.fold import Fold
from serjax.data.store.face_features import FaceFeatures, read_archive
from serjax.features.statistics import face_feature_moments, standardization
from serjax.models.base import Augmentation, Checkpoint, Resolution
from serjax.models.classifiers.speech import build_head
from serjax.models.config import ModelConfig
from serjax.models.functional import Params, abstract, count, flat, overlay
from serjax.models.fusion.config import Fusion
from serjax.models.speech import Speech
from serjax.runs.frozen_heads import make_heads
from serjax.runs.planning.cost import mesh_cost
from serjax.runs.starts import EncoderStart, Start, encoder_start, find_adapter, find_encoder, read_starts, stacked
from serjax.runtime.errors import UserError, one_of
from serjax.training.choose_together import choose_together
from serjax.training.domain import domain_weights
from serjax.training.fold_axis import FOLD, SHARED, fold_axis
from serjax.training.frozen import make_is_frozen
from serjax.training.initialize import initial, state_shapes
from serjax.training.loop import Engine
from serjax.training.parameter_sharding import choose_shards
from serjax.training.resident import ResidentEngine
from serjax.training.several_tasks import weighted
from serjax.training.streamed import StreamedEngine
from serjax.training.trials import Trial, make_trials, trial_key

log = logging.getLogger(__name__)

SECONDS = 60.0
"""Of each recording of noise or impulse response that is kept in memory."""


class Plan(NamedTuple):
    """Plan of a model: its settings and the sources of its weights.

    Attributes:
        model: its settings, resolved.
        notes: sentences for the user on where it starts from.
        given: parameters by name that a checkpoint has, such as `speech_encoder.encoder.layer_norm.scale`.
        augmentation: of training.
        encoder: where its speech encoder starts from; None: there is none.
        starts: finished runs that the folds start from.
        warnings: what a report of its scores has to say.
    """

    model: ModelConfig
    notes: tuple[str, ...]
    given: Mapping[str, Array]
    augmentation: Augmentation
    encoder: EncoderStart | None
    starts: tuple[Start, ...]
    warnings: tuple[str, ...]


def make_plan(experiment: Experiment, read: Plan | None = None) -> Plan:
    """Return how the experiment's model is built.

    Args:
        experiment: what to train.
        read: of another stage of it, whose encoder and starts need not be read again.

    Raises:
        UserError: a checkpoint, or a folder of sounds for augmentation, cannot be used.
    """
    model, starts = experiment.model, () if read is None else read.starts
    speech, encoder = model.encoder_settings, None
    if speech is not None:
        known = None if read is None else read.encoder
        encoder = known or find_encoder(speech.family, speech.size, speech.checkpoint)
        starts = _per_fold_start(experiment, encoder) or starts
    if isinstance(model, Fusion) and read is None:
        starts = read_starts(experiment.warm_start, model)
    features = None
    if model.video is not None and model.video.face_features is not None:
        features = read_archive(model.video.face_features)[1].shape[1]
    layout = None if encoder is None else encoder.layout
    adapter = find_adapter(model, layout.config if layout else None)
    resolved = model.resolved(Resolution(experiment.data.max_seconds, layout, features, adapter.settings))
    # Video alone takes no sound that could be changed.
    sound = experiment.augment if "sound" in model.modalities else AugmentConfig()
    given, recordings = _recordings(sound)
    given |= adapter.given
    notes = [] if encoder is None else [*encoder.notes, *adapter.notes]
    for checkpoint in resolved.checkpoints:
        found, note = _READERS[checkpoint.kind](checkpoint, encoder)
        given |= {checkpoint.prefix + name: leaf for name, leaf in found.items()}
        notes += [note] if note else []
    if not resolved.checkpoints and speech is None:
        notes.append(f"{resolved.description} starts from random weights.")
    encoders = None if encoder is None else encoder.encoders
    return Plan(
        model=resolved,
        notes=tuple(notes),
        given=given,
        augmentation=Augmentation(sound, recordings),
        encoder=encoder,
        starts=starts,
        warnings=() if encoders is None or encoders.warning is None else (encoders.warning,),
    )


def _per_fold_start(experiment: Experiment, encoder: EncoderStart) -> tuple[Start, ...]:
    """Return the encoders that each fold has of its own, where the checkpoint is such a run.

    Raises:
        UserError: one encoder must serve all folds.
    """
    encoders, model = encoder.encoders, experiment.model
    if encoders is None or encoders.shared:
        return ()
    if isinstance(model, Fusion):
        raise UserError(
            f"--model.audio.checkpoint {encoders.source}: it is a run; give one encoder, or --warm-start.audio."
        )
    if model.encoded_once or experiment.first_epochs:
        raise UserError(
            f"--model.checkpoint {encoders.source}: each fold has an encoder of its own there, but a frozen encoder "
            "(model.freeze, train.head_epochs, encode_once) serves all folds; train the encoders, or give one of them, "
            f"such as {encoders.folders[min(encoders.folders)]}."
        )
    return (encoder_start(encoders),)


def _recordings(augment: AugmentConfig) -> tuple[dict[str, Array], dict[str, tuple[int, ...]]]:
    """Return the recordings that are mixed in, as a model's parameters by name, and their shapes."""
    banks = {
        name: load_bank(folder, SECONDS, f"--augment.{name}")
        for name, folder in (("noise", augment.noise), ("rir", augment.rir))
        if folder is not None
    }
    given = {f"banks.{name}.{field}": array for name, bank in banks.items() for field, array in bank._asdict().items()}
    return given, {name: bank.wave.shape for name, bank in banks.items()}


def _speech_encoder(checkpoint: Checkpoint, encoder: EncoderStart | None) -> tuple[dict[str, Array], str | None]:
    assert encoder is not None
    pretrained = encoder.pretrained
    return ({} if pretrained is None else flat(nnx.state(pretrained))), None


def _efficientnet(checkpoint: Checkpoint, _: EncoderStart | None) -> tuple[dict[str, Array], str]:
    return pretrained_network(checkpoint.source), f"efficientnet starts from {checkpoint.source}."


def _resnet(checkpoint: Checkpoint, _: EncoderStart | None) -> tuple[dict[str, Array], str]:
    state = flat(nnx.state(load_resnet(checkpoint.source), (nnx.Param, nnx.BatchStat)))
    return state, f"ResNet18 starts from {checkpoint.source}."


_READERS = {"encoder": _speech_encoder, "efficientnet": _efficientnet, "resnet": _resnet}


def experiment_trials(experiment: Experiment, folds: Sequence[Fold]) -> list[Trial]:
    """Return every fold, seed and learning rate of an experiment.

    Raises:
        UserError: folds.only names a fold that there is not.
    """
    default_rate = 5e-5 if experiment.model.pretrained else 1e-3
    return make_trials(folds, experiment.folds, experiment.train, experiment.optimizer, default_rate)


class Setup(NamedTuple):
    """Engine, its first parameters, and the pieces that put a trial's model together again.

    Attributes:
        engine: trains all trials.
        params: first parameters of each trial.
        graphdef: definition of one trial's model.
        frozen: what is not trained.
        trainable: number of weights of one trial that are trained.
        parameters: number of all weights of one trial's model.
        shared: whether `frozen` is one state for all trials, or a state a trial.
    """

    engine: Engine
    params: Any
    graphdef: nnx.GraphDef[Any]
    frozen: Params
    trainable: int
    parameters: int
    shared: bool = True

    def after(self, trained: Params) -> "Setup":
        """Return the setup with parameters [k, ...] that a first stage has trained."""
        axis = self.engine.axis
        return self._replace(params=axis.jit(overlay, (FOLD, FOLD))(self.params, axis.shard(trained)))


def set_up(experiment: Experiment, data: Data, trials: Sequence[Trial], plan: Plan) -> Setup:
    """Build the model of every trial, on all devices, and the engine that trains it.

    Raises:
        UserError: crops or clips are too short for one frame.
    """
    model = plan.model
    check_lengths(experiment, data, model.min_samples, model.max_samples)
    if data.unlabelled is not None:
        check_lengths(experiment, data._replace(store=data.unlabelled), model.min_samples, model.max_samples)
    wish, once = experiment.folds.together, model.encoded_once
    together, why = choose_together(wish, backend=jax.default_backend(), frozen_encoder=model.frozen_encoder)
    log.info(why)
    keys, shared_key = jnp.stack([trial_key(experiment.seed, one) for one in trials]), jax.random.key(experiment.seed)
    classes, train = data.outputs, [trial.train for trial in trials]
    cache = cache_folder(experiment) / "features"
    samples, crop = round(experiment.data.max_seconds * SAMPLE_RATE), experiment.data.eval_crop
    groups = (*experiment.optimizer.groups, *model.rate_groups)
    settings: dict[str, Any] = {
        "train": experiment.train,
        "optimizer": replace(experiment.optimizer, groups=groups),
        "augment": experiment.augment,
        "dtype": model.dtype,
        "seed": experiment.seed,
    }
    settings |= {"targets": data.targets, "target": experiment.target}

    def make(rngs: nnx.Rngs) -> nnx.Module:
        return weighted(model.build(classes, augmentation=plan.augmentation, rngs=rngs), experiment.target)

    frozen_path = make_is_frozen(model, groups)
    batch, shard = experiment.train.batch_size // experiment.train.accumulate, 1
    cost = mesh_cost(replace(experiment, model=model), classes, len(trials) if together else 1)
    if not once:
        shapes = partial(state_shapes, make, frozen_path, settings["optimizer"], shared=not plan.starts)
        shard = choose_shards(
            experiment.mesh.shard, shapes, folds=len(trials), batch=batch, together=together, cost=cost
        )
    axis = fold_axis(len(trials), batch, together=together, shard=shard, cost=cost)
    if isinstance(model, Speech) and once:
        heads = make_heads(
            experiment,
            data,
            model,
            make,
            lambda rngs: weighted(build_head(model, classes, rngs=rngs), experiment.target),
            frozen_path,
            keys,
            axis,
            plan.given,
        )
        one = axis.shape(heads.params)
        _check_trained(one)
        settings |= {"other": heads.other, "step_by_step": not model.frozen_encoder}
        parts = heads.graphdef, one, heads.frozen, trials, heads.features
        engine: Engine = ResidentEngine(*parts, classes, axis, **settings)
        trained = count(one) - domain_weights(one)
        return Setup(engine, heads.params, heads.graphdef, heads.frozen, trained, trained + count(heads.frozen))

    graphdef, params, frozen = initial(make, frozen_path, keys, shared_key, axis, plan.given)
    for standardized in model.standardized:
        if standardized.features is None:
            assert isinstance(data.frames, FaceFeatures)
            moments = face_feature_moments(data.frames, train, standardized.path)
        else:
            moments = standardization(standardized, data.store, train, crop=crop, folder=cache)
        params = axis.jit(overlay, (FOLD, FOLD))(params, axis.shard(moments))
    # A start that each fold has of its own makes what is frozen each fold's own, too.
    own = stacked(plan.starts, data, trials, abstract(make))
    if own is not None:
        params = axis.jit(overlay, (FOLD, FOLD))(params, axis.shard(own))
        frozen = axis.jit(overlay, (SHARED, FOLD))(axis.replicate(frozen), axis.shard(own))
    one, still = axis.shape(params), frozen if own is None else axis.shape(frozen)
    _check_trained(one)
    engine = StreamedEngine(
        graphdef,
        one,
        frozen,
        trials,
        data.store,
        data.classes,
        classes,
        axis,
        **settings,
        samples=samples,
        crop=crop,
        shared=own is None,
        frames=data.frames,
        channel=open_channel(data, experiment.data, experiment.augment, cache.parent),
    )
    return Setup(engine, params, graphdef, frozen, count(one), count(one) + count(still), own is None)


def _check_trained(params: Params) -> None:
    """Refuse groups that leave no weight to train."""
    if not count(params):
        raise UserError("optimizer.groups freezes every weight; give a group before it that leaves some to train.")


def check_lengths(experiment: Experiment, data: Data, least: int, most: int | None = None) -> None:
    """Check that crops and clips are long enough for the model's first frame, and crops not too long for it.

    Args:
        experiment: whose crops.
        data: the clips.
        least: samples of the first frame.
        most: samples that the model takes at once; None: any number.

    Raises:
        UserError: some are not.
    """
    if most is not None and round(experiment.data.max_seconds * SAMPLE_RATE) > most:
        raise UserError(
            f"--data.max-seconds {experiment.data.max_seconds:g}: the encoder has positions for {most / SAMPLE_RATE:g} "
            "s; give at most that, and longer clips are cropped to it."
        )
    if experiment.data.max_seconds < least / SAMPLE_RATE:
        raise UserError(
            f"--data.max-seconds {experiment.data.max_seconds:g}: the model's first frame takes "
            f"{least / SAMPLE_RATE:g} s; give more."
        )
    short = [clip.id for clip, length in zip(data.store.utterances, data.store.lengths, strict=True) if length < least]
    if short:
        raise UserError(
            f"{len(short)} clips are shorter than this model's first frame of {least} samples at 16 kHz "
            f"({one_of(short)}); leave them out."
        )


def first_stage(experiment: Experiment, data: Data, trials: Sequence[Trial], plan: Plan) -> tuple[Experiment, Setup]:
    """Return the setup that trains the trials' heads alone, before `experiment` trains more, and its experiment."""
    train, optimizer = experiment.train, experiment.optimizer
    first = replace(
        experiment,
        model=experiment.model.heads_only(),
        train=replace(train, epochs=experiment.first_epochs, head_epochs=0),
        stages="one",
        # Groups divide the second stage's rate; the first has one of its own, but freezes what they freeze.
        optimizer=replace(optimizer, groups=tuple((p, None if f is None else 1.0) for p, f in optimizer.groups)),
    )
    trials = [replace(trial, peak=train.head_lr) for trial in trials]
    return first, set_up(first, data, trials, make_plan(first, plan))
