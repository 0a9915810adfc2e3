"""Hidden states of a frozen encoder, computed once for all clips."""

import logging
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Int

from serjax.data.batching.lengths import Crop
from serjax.data.store.clips import ClipStore, SilentClips
from serjax.features.extract import encode_clips
from serjax.models.functional import Params, cast
from serjax.models.inputs import Features
from serjax.models.layers import pooling
from serjax.models.speech import SpeechClassifier
from serjax.runtime.fingerprint import fingerprint

log = logging.getLogger(__name__)


def encode(
    model: SpeechClassifier,
    clips: ClipStore | SilentClips,
    classes: Int[np.ndarray, "clips"],
    *,
    samples: int,
    crop: Crop,
    folder: Path,
) -> Features:
    """Return the frozen encoder's hidden states of every clip, computed once and kept on disk.

    Args:
        model: in evaluation.
        clips: the store.
        classes: of the clips.
        samples: longest stretch of a clip that is encoded.
        crop: which stretch.
        folder: of all stored features.

    Raises:
        UserError: the disk is full, or the folder cannot be written.
    """
    settings, layout = model.config, model.config.encoder
    graphdef, state = nnx.split(model)
    # Frames that training drops values of are kept one by one.
    pooled = settings.pooling == "mean" and not settings.final_dropout
    dtype = settings.dtype

    def call(state: Params, wave: Any, length: Any) -> Any:
        model = nnx.merge(graphdef, cast(state, dtype), copy=True)
        states, frames = model.features(wave.astype(dtype), length)
        states = states.astype(jnp.float32)
        if pooled:
            # The mean over frames is the same before and after the weighted sum of layers: keep it alone.
            states = jax.vmap(pooling.masked_mean, in_axes=(1, None), out_axes=1)(states, frames)[:, :, None]
            frames = jnp.ones_like(frames)
        return states, frames

    wanted = (crop, samples, pooled, dtype, settings.weighted_layers, settings.padding)
    key = fingerprint(state, clips.hashes, wanted, model.speech_encoder.config, layout.normalize, layout.attention_mask)
    states, frames = encode_clips(call, state, clips, folder, key=key, samples=samples, crop=crop, batch_size=8)
    log.info(f"{len(frames)} clips are encoded once: {states.nbytes / 2**20:.0f} MiB of features.")
    return Features._make((states, frames, classes))
