"""Means and deviations of features over the training clips of each fold."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx

from serjax.config.experiment import Experiment, cache_folder
from serjax.data.dataset import Data
from serjax.data.store.face_features import Units
from serjax.features.extract import encode_clips
from serjax.models.functional import Params
from serjax.models.layers.masking import length_mask
from serjax.models.spectrogram import FrontEnd
from serjax.runtime.fingerprint import fingerprint
from serjax.runtime.progress import Say
from serjax.training.jobs import Job


class Moments(NamedTuple):
    """Features that are standardised by their moments over a fold's training clips.

    Attributes:
        front: makes the features.
        path: where the model holds their mean and deviation.
    """

    front: FrontEnd
    path: tuple[str, ...]


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
