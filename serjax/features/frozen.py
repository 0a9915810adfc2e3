"""Hidden states of all clips from a frozen encoder, computed once; heads, or layers with adapters, follow."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float32, Int, Int32

from serjax.data.batching.batches import Clips
from serjax.data.batching.lengths import Crop
from serjax.data.store.clips import ClipStore, SilentClips
from serjax.data.store.ragged import FORMAT
from serjax.features.extract import Function, clip_batches, extract
from serjax.models.adapter_config import PARTS
from serjax.models.classifiers.speech import SpeechClassifier
from serjax.models.functional import Params, cast
from serjax.models.inputs import Features
from serjax.models.layers import pooling
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

    Of an encoder with adapters those below the first one, which hang on none of its adapters.

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
    pooled = settings.takes_mean_state
    dtype = settings.dtype

    def call(state: Params, wave: Any, length: Any) -> Any:
        model = nnx.merge(graphdef, cast(state, dtype), copy=True)
        states, frames = model.shared_states(wave, length)
        states = states.astype(jnp.float32)
        if pooled:
            # The mean over frames is the same before and after the weighted sum of layers: keep it alone.
            states = jax.vmap(pooling.masked_mean, in_axes=(1, None), out_axes=1)(states, frames)[:, :, None]
            frames = jnp.ones_like(frames)
        return states, frames

    layer = () if settings.layer is None else (settings.top,)
    wanted: tuple[Any, ...] = (crop, samples, pooled, dtype, settings.weighted_layers, settings.padding, *layer)
    prepared = (layout.normalize, layout.attention_mask)
    if settings.adapter.given:
        wanted += (model.frozen_layers,)
    # Of the encoder alone: other heads, and adapters, find the same features.
    encoder = nnx.filter_state(nnx.state(model.speech_encoder), lambda path, _: PARTS.isdisjoint(path))
    key = fingerprint(FORMAT, encoder, clips.hashes, wanted, model.speech_encoder.config, *prepared)
    states, frames = encode_clips(
        call,
        state,
        clips,
        [clip.id for clip in clips.utterances],
        folder / key,
        samples=samples,
        crop=crop,
        pooled=pooled,
    )
    log.info(f"{len(frames)} clips are encoded once: {states.nbytes / 2**20:.0f} MiB of features.")
    return Features._make((states, frames, classes, None))


def joined(features: Features, other: Features) -> Features:
    """Return the hidden states of two corpora as those of one, padded with zeros to the longest clip of both.

    Labels of the second are -1: it has none.
    """
    frames = max(features.states.shape[2], other.states.shape[2])
    states = [
        np.pad(np.asarray(one.states), ((0, 0), (0, 0), (0, frames - one.states.shape[2]), (0, 0)))
        for one in (features, other)
    ]
    lengths = np.concatenate([np.asarray(features.frames), np.asarray(other.frames)])
    labels = np.concatenate([np.asarray(features.label), np.full(len(other.frames), -1, np.int32)])
    return Features._make((np.concatenate(states), lengths, labels, features.target))


def encode_clips(
    function: Function,
    weights: Params,
    clips: Clips,
    names: Sequence[str],
    target: Path,
    *,
    samples: int,
    crop: Crop,
    pooled: bool,
    batch_size: int = 8,
) -> tuple[Float32[np.ndarray, "clips l n d"], Int32[np.ndarray, "clips"]]:
    """Return hidden states, padded with zeros to those of the longest clip, and the true frames of each clip.

    Args:
        function: returns hidden states [b l n d] and true frames; see `extract`.
        weights: its first argument.
        clips: the store.
        names: of the clips, for messages.
        target: folder of the states.
        samples: longest stretch of a clip that is encoded.
        crop: which stretch.
        pooled: `function` returns one frame for each clip.
        batch_size: clips a call.

    Raises:
        UserError: as `extract`.
    """
    stored = extract(
        function,
        weights,
        clips,
        names,
        clip_batches(np.asarray(clips.lengths), samples, crop, batch_size),
        target,
        lengths=np.ones(len(clips), np.int64) if pooled else None,
        frame_axis=2,
    )
    frames = stored.lengths.astype(np.int32)
    if pooled:
        return stored.rows[:, :, None], frames
    _, layers, width = stored.rows.shape
    states = np.zeros((len(clips), layers, frames.max(initial=0), width), np.float32)
    for clip, count in enumerate(frames):
        states[clip, :, :count] = stored[clip].swapaxes(0, 1)
    return states, frames
