"""Hidden states of a frozen encoder, computed once for all clips."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from serjax.audio import SAMPLE_RATE
from serjax.config.experiment import Experiment, cache_folder
from serjax.data.dataset import Data
from serjax.features.extract import encode_clips
from serjax.models.functional import Params, cast
from serjax.models.inputs import Features
from serjax.models.layers import pooling
from serjax.models.speech import Classifier
from serjax.runtime.fingerprint import fingerprint
from serjax.runtime.progress import Say


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
