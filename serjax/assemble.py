"""From an experiment, its data and its trunk to what is trained: models, parameters and the engine that trains them."""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from serjax.blueprint import Blueprint, Moments, blueprint
from serjax.checkpoints.naming import abstract
from serjax.config import SAMPLE_RATE, Experiment
from serjax.data.units import Units
from serjax.errors import UserError, one_of
from serjax.models import pooling
from serjax.models.classifier import Classifier, Head
from serjax.models.encoder import SpeechEncoder
from serjax.models.fusion_config import first_stage as frozen_branches
from serjax.models.fusion_freezing import rate_groups
from serjax.models.masking import length_mask
from serjax.prepare import Data, Say, cache_folder
from serjax.training.encode import encode_clips, fingerprint
from serjax.training.folds import choose_together, fold_axis
from serjax.training.init import count, initial
from serjax.training.jobs import Job, job_key
from serjax.training.loop import Engine
from serjax.training.optimizer import Params
from serjax.training.resident import Features, ResidentEngine
from serjax.training.step import cast, overlay
from serjax.training.streamed import StreamedEngine
from serjax.warm_start import stacked


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

    make = partial(plan.make, classes)
    if not alone:
        graphdef, params, frozen = initial(make, plan.frozen, keys, shared_key, axis, plan.given)
        if plan.moments is not None:
            moments = standardization(experiment, data, jobs, plan.moments, say)
            params = axis.jit(overlay, "kk")(params, axis.put(moments))
        if isinstance(data.frames, Units):
            params = axis.jit(overlay, "kk")(params, axis.put(unit_moments(data.frames, jobs)))
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
    features = encode(experiment, data, whole, say)
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


def encode(experiment: Experiment, data: Data, model: Classifier, say: Say) -> Features:
    """Return what the frozen trunk makes of every clip, computed once and kept on disk."""
    settings = experiment.data
    graphdef, state = nnx.split(model)
    # Frames that training drops values of are kept one by one.
    pooled = experiment.model.pooling == "mean" and not experiment.model.final_dropout
    dtype = experiment.model.dtype

    def call(state: Params, wave: Any, length: Any) -> Any:
        model = nnx.merge(graphdef, cast(state, dtype), copy=True)
        states, frames = model.features(wave.astype(dtype), length)
        states = states.astype(jnp.float32)
        if pooled:
            # The mean over frames is the same before and after the weighted sum of layers: keep it alone.
            states = jax.vmap(pooling.masked_mean, in_axes=(1, None), out_axes=1)(states, frames)[:, :, None]
            frames = jnp.ones_like(frames)
        return states, frames

    samples = round(settings.seconds * SAMPLE_RATE)
    wanted = (settings.eval_crop, samples, pooled, dtype, experiment.model.weighted_layers, experiment.model.padding)
    key = fingerprint(state, data.store.hashes, wanted, model.trunk.config, model.normalize, model.masked)
    cache = cache_folder(experiment, "features")
    states, frames = encode_clips(
        call, state, data.store, cache, key=key, samples=samples, crop=settings.eval_crop, batch_size=8
    )
    say(f"{len(frames)} clips are encoded once: {states.nbytes / 2**20:.0f} MiB of features.")
    return Features._make((states, frames, data.classes))


def unit_moments(units: Units, jobs: Sequence[Job]) -> nnx.State:
    """Return each job's mean and deviation [k d] of every unit, over the job's training clips and nothing else."""
    seen = [units.values[list(job.train), 0] for job in jobs]
    stats = {"mean": [one.mean(0) for one in seen], "deviation": [one.std(0) for one in seen]}
    leaves = {("video", "standardize", name): nnx.BatchStat(jnp.array(values)) for name, values in stats.items()}
    return nnx.from_flat_state(list(leaves.items()))


def standardization(experiment: Experiment, data: Data, jobs: Sequence[Job], moments: Moments, say: Say) -> nnx.State:
    """Return each job's mean and deviation [k d] of every feature, over the job's training clips and nothing else."""
    front = moments.front

    def call(_: Params, wave: Any, length: Any) -> Any:
        x, frames = front(wave, length)
        within = length_mask(frames, x.shape[1])[:, :, None]
        share = 1 / frames[:, None, None]
        mean = jnp.sum(jnp.where(within, x, 0), axis=1, keepdims=True) * share
        variance = jnp.sum(jnp.where(within, jnp.square(x - mean), 0), axis=1, keepdims=True) * share
        return jnp.stack([mean, variance], axis=1), jnp.ones_like(frames)

    settings = experiment.data
    key, cache = fingerprint(data.store.hashes, settings.eval_crop, repr(front)), cache_folder(experiment, "features")
    began, kept = time.monotonic(), (cache / key).is_dir()
    found, _ = encode_clips(
        call,
        {},
        data.store,
        cache,
        key=key,
        samples=front.samples,
        crop=settings.eval_crop,
        batch_size=32,
    )
    if not kept:
        say(f"Features of {len(found)} clips: {len(found) / (time.monotonic() - began):.0f} clips/s.")
    mean, deviation = [], []
    for job in jobs:
        means, variances = np.asarray(found[list(job.train), :, 0], np.float64).swapaxes(0, 1)
        mean.append(means.mean(0))
        deviation.append(np.sqrt(variances.mean(0) + means.var(0)))
    stats = {"mean": mean, "deviation": deviation}
    leaves = {(*moments.path, name): nnx.BatchStat(jnp.array(values, jnp.float32)) for name, values in stats.items()}
    return nnx.from_flat_state(list(leaves.items()))
