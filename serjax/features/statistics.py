"""Means and deviations of features over the training clips of each fold."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from serjax.data.batching.lengths import Crop
from serjax.data.store.clips import ClipStore, SilentClips
from serjax.data.store.face_features import FaceFeatures
from serjax.data.store.ragged import FORMAT
from serjax.features.extract import clip_batches, extract
from serjax.models.base import Standardized
from serjax.models.front_end import FrontEnd
from serjax.models.functional import Params
from serjax.models.layers.masking import length_mask
from serjax.runtime.fingerprint import fingerprint

log = logging.getLogger(__name__)


def face_feature_moments(features: FaceFeatures, train: Sequence[Sequence[int]], path: tuple[str, ...]) -> nnx.State:
    """Return the mean and deviation [k d] of every face feature over each trial's training clips."""
    values = [features.values[list(clips), 0] for clips in train]
    stats = {"mean": [one.mean(0) for one in values], "deviation": [one.std(0) for one in values]}
    leaves = {(*path, name): nnx.BatchStat(jnp.array(values)) for name, values in stats.items()}
    return nnx.from_flat_state(list(leaves.items()))


def standardization(
    moments: Standardized,
    clips: ClipStore | SilentClips,
    train: Sequence[Sequence[int]],
    *,
    crop: Crop,
    folder: Path,
) -> nnx.State:
    """Return the mean and deviation [k d] of every feature over each trial's training clips.

    Each clip's own mean and variance are computed once and kept on disk.

    Args:
        moments: what is standardised.
        clips: the store.
        train: of each trial, the positions of its training clips.
        crop: stretch of a longer clip.
        folder: of all stored features.

    Raises:
        UserError: the disk is full, or the folder cannot be written.
    """
    front = moments.features
    assert isinstance(front, FrontEnd)

    def call(_: Params, wave: Any, length: Any) -> Any:
        x, frames = front(wave, length)
        within = length_mask(frames, x.shape[1])[:, :, None]
        share = 1 / frames[:, None, None]
        mean = jnp.sum(jnp.where(within, x, 0), axis=1, keepdims=True) * share
        variance = jnp.sum(jnp.where(within, jnp.square(x - mean), 0), axis=1, keepdims=True) * share
        return jnp.stack([mean, variance], axis=1), jnp.ones_like(frames)

    key = fingerprint(FORMAT, clips.hashes, crop, repr(front))
    began, kept = time.monotonic(), (folder / key).is_dir()
    found = extract(
        call,
        {},
        clips,
        [clip.id for clip in clips.utterances],
        clip_batches(np.asarray(clips.lengths), front.samples, crop, 32),
        folder / key,
        lengths=np.ones(len(clips), np.int64),
        frame_axis=2,
    )
    if not kept:
        log.info(f"Features of {len(found)} clips: {len(found) / (time.monotonic() - began):.0f} clips/s.")
    mean, deviation = [], []
    for own in train:
        means, variances = np.asarray(found.rows[list(own)], np.float64).swapaxes(0, 1)
        mean.append(means.mean(0))
        deviation.append(np.sqrt(variances.mean(0) + means.var(0)))
    stats = {"mean": mean, "deviation": deviation}
    leaves = {(*moments.path, name): nnx.BatchStat(jnp.array(values, jnp.float32)) for name, values in stats.items()}
    return nnx.from_flat_state(list(leaves.items()))
