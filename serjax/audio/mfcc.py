"""MFCC on the frames of speech encoders: 39 values every 20 ms, HuBERT's first features to cluster."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from serjax.audio.spectrogram import Spectrogram, log_mel, mfcc

VALUES = 39
"""13 coefficients, their slopes and the slopes of those."""
_COUNT, _LIFTER, _REACH = 13, 22, 2
_EVERY = 2
"""Every second frame of 10 ms begins with a frame of 20 ms."""
_FRONT = Spectrogram(n_fft=400, win_length=400, hop=160, mels=23, pad_mode=None, f_min=20.0)
"""Windows of 25 ms every 10 ms that lie within the clip, and 23 filters from 20 Hz, as in Kaldi."""


def frame_mfcc(wave: Float[Array, "b t"], lengths: Int[Array, "b"]) -> tuple[Float[Array, "b n v"], Int[Array, "b"]]:
    """Return 39 values of each frame, and each clip's number of frames.

    Frame i is computed from samples [320 i, 320 i + 400), which is what frame i of a published speech encoder sees, and
    its slopes from the windows up to 20 (slopes of slopes: 40) ms around. Of MFCC every 10 ms each second one is kept,
    as fairseq takes each second label. Coefficients are liftered (The HTK Book, section 5.6, L = 22), slopes are a
    regression over two windows on both sides (section 5.9), the clip's first and last window repeated. Padding changes
    nothing.

    Args:
        wave: Samples at 16 kHz, padded on the right, t at least 400.
        lengths: True number of samples of each clip.
    """
    order = np.arange(_COUNT)
    lifter = 1 + _LIFTER / 2 * np.sin(np.pi * order / _LIFTER)
    values = mfcc(log_mel(wave, _FRONT), _COUNT).swapaxes(1, 2) * lifter.astype(np.float32)
    windows = jnp.maximum((lengths - _FRONT.n_fft) // _FRONT.hop + 1, 1)
    slopes = _slopes(values, windows)
    whole = jnp.concatenate([values, slopes, _slopes(slopes, windows)], axis=2)
    frames = (lengths - _FRONT.n_fft) // (_EVERY * _FRONT.hop) + 1
    return whole[:, ::_EVERY], jnp.maximum(frames, 0)


def _slopes(x: Float[Array, "b n v"], counts: Int[Array, "b"]) -> Float[Array, "b n v"]:
    place = jnp.arange(x.shape[1])

    def at(offset: int) -> Float[Array, "b n v"]:
        rows = jnp.clip(place + offset, 0, counts[:, None] - 1)
        return jax.vmap(lambda values, rows: values[rows])(x, rows)

    rise = jnp.zeros(())
    for step in range(1, _REACH + 1):
        rise = rise + step * (at(step) - at(-step))
    return rise / (2 * sum(step**2 for step in range(1, _REACH + 1)))
