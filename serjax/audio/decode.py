"""Sound files, videos and arrays in, mono float32 at one rate out: libsndfile or PyAV decodes, soxr resamples."""

import logging
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soxr
from jaxtyping import Float32, Shaped

from serjax.audio import SAMPLE_RATE
from serjax.audio.loss import Loss
from serjax.audio.mixing import CANCELLED_DB, cancelled, power
from serjax.audio.reading import HIGHEST_RATE, LOWEST_RATE, open_sound
from serjax.runtime.errors import UserError

log = logging.getLogger(__name__)

RECEPTIVE_FIELD = 400
"""Samples at 16 kHz (25 ms): what the first frame of a wav2vec2 or HuBERT encoder sees. A shorter clip has no frame."""


class Heard(NamedTuple):
    """Samples of a recording that decode, mono, and what is missing of it."""

    wave: Float32[np.ndarray, "t"]
    loss: Loss


def decode(
    path: str | Path, *, start: float = 0.0, end: float | None = None, rate: int = SAMPLE_RATE
) -> Float32[np.ndarray, "t"]:
    """Decode a sound file, or the stretch of it from `start` to `end`, to mono, all of which must be there.

    Channels are averaged; where they cancel each other the loudest is taken, and a warning logged
    (`serjax.audio.mixing.cancelled`). soxr resamples at its quality HQ.

    Args:
        path: any file that libsndfile reads, of any rate and number of channels; or, with PyAV (extra `video`), a video
            with sound or a recording such as .m4a, .aac, .wma or .amr.
        start: where the stretch begins, in s.
        end: where it ends, in s; None means the end of the file.
        rate: of the result, in Hz.

    Returns:
        Samples in -1..1 (resampling may overshoot a little).

    Raises:
        UserError: the file is missing, empty, silent film, no sound file or damaged, or it breaks off; the stretch lies
            outside of it; or its samples are NaN, infinite or too few for one frame.
    """
    found = decode_what_is_there(path, start=start, end=end, rate=rate)
    said = found.loss.sentence(path, "get it again.")
    if said is not None:
        raise UserError(said)
    return found.wave


def decode_what_is_there(
    path: str | Path, *, start: float = 0.0, end: float | None = None, rate: int = SAMPLE_RATE
) -> Heard:
    """Decode as `decode` does, but of a file that breaks off or is damaged in part whatever decodes.

    Raises:
        UserError: as `decode`, but for that.
    """
    with open_sound(path, start=start, end=end) as sound:
        parts, energy = [], np.zeros(sound.channels)
        for block in sound.blocks:
            if sound.channels > 1:
                energy += power(block) * len(block)
                parts.append(block.mean(axis=1))
            else:
                parts.append(block[:, 0])
    mono = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    loudest = None
    if sound.channels > 1 and len(mono):
        loudest = cancelled(power(mono[:, None])[0], energy / len(mono))
    if loudest is not None:
        _tell_cancelled(str(path), loudest)
        with open_sound(path, start=start, end=end) as again:
            mono = np.concatenate([block[:, loudest] for block in again.blocks])
    if sound.loss.seconds and len(mono) * SAMPLE_RATE < RECEPTIVE_FIELD * sound.rate:
        if not len(mono):
            raise UserError(f"{path}: it breaks off before its first sample; get it again.")
        raise UserError(
            sound.loss.sentence(path, "too little is left to be heard; get it again.") or f"{path}: damaged."
        )
    return Heard(resample(mono, sound.rate, rate, source=str(path)), sound.loss)


def resample(
    samples: Shaped[np.ndarray, "t *c"],
    from_rate: float,
    to_rate: float,
    *,
    source: str = "the array",
) -> Float32[np.ndarray, "s"]:
    """Average the channels of `samples`, as `decode` does, and resample them with soxr at its quality HQ.

    Args:
        samples: [t] or [t, c], of any float type, or integers that use their type's full range (int16, say).
        from_rate: of `samples`, in Hz.
        to_rate: of the result, in Hz.
        source: what a message calls the samples.

    Raises:
        UserError: another shape or type, a rate that no sound has, samples that are NaN or infinite, or fewer of
            them than the receptive field.
    """
    for value in (from_rate, to_rate):
        if isinstance(value, bool) or not (math.isfinite(value) and LOWEST_RATE <= value <= HIGHEST_RATE):
            raise UserError(
                f"{source}: its rate is given as {value}; give one in Hz, of {LOWEST_RATE} to {HIGHEST_RATE}."
            )
    scaled = to_float(np.asarray(samples), source)
    mono = scaled if scaled.ndim == 1 else _average(scaled, source)
    if not len(mono):
        raise UserError(f"{source}: it holds no samples; record it again.")
    bad = np.flatnonzero(~np.isfinite(mono))
    if len(bad):
        raise UserError(
            f"{source}: {len(bad)} of its samples are NaN or infinite, the first at {bad[0] / from_rate:.3f} s; "
            "write the file again."
        )
    # Compared as a duration: 25 ms at any rate give the encoder its 400 samples.
    if len(mono) * SAMPLE_RATE < RECEPTIVE_FIELD * from_rate:
        raise UserError(
            f"{source}: it lasts {1000 * len(mono) / from_rate:.2f} ms, less than the encoder's receptive field of "
            f"{1000 * RECEPTIVE_FIELD / SAMPLE_RATE:.0f} ms ({RECEPTIVE_FIELD} samples at 16 kHz); give a longer one."
        )
    return mono if from_rate == to_rate else soxr.resample(mono, from_rate, to_rate, quality="HQ")


def to_float(samples: Shaped[np.ndarray, "..."], source: str) -> Float32[np.ndarray, "t *c"]:
    """Return [t] or [t, c] as float32 in -1..1, from a float or integer type.

    Raises:
        UserError: another shape or type.
    """
    if samples.ndim not in (1, 2):
        raise UserError(f"{source}: it has the shape {samples.shape}; give [samples] or [samples, channels].")
    if samples.ndim == 2 and samples.shape[1] > max(samples.shape[0], 1):
        raise UserError(f"{source}: its shape {samples.shape} has channels first; give [samples, channels].")
    if samples.dtype.kind == "f":
        return samples.astype(np.float32, copy=False)
    if samples.dtype.kind in "iu" and samples.dtype.itemsize <= 4:
        # Of the unsigned types only uint8 is a sample format, but all of them are silent in the middle.
        half = 2.0 ** (8 * samples.dtype.itemsize - 1)
        return (samples / half - (samples.dtype.kind == "u")).astype(np.float32)
    raise UserError(f"{source}: its type is {samples.dtype}; give floats in -1..1, or integers such as int16.")


def _average(samples: Float32[np.ndarray, "t c"], source: str) -> Float32[np.ndarray, "t"]:
    """Return the mean of the channels, or the loudest where they cancel each other."""
    if samples.shape[1] == 1:
        return samples[:, 0]
    mean = samples.mean(axis=1)
    loudest = cancelled(power(mean[:, None])[0], power(samples))
    if loudest is None:
        return mean
    _tell_cancelled(source, loudest)
    return samples[:, loudest]


def _tell_cancelled(source: str, channel: int) -> None:
    log.warning(
        f"{source}: its channels cancel each other: their mean is more than {CANCELLED_DB:g} dB below the loudest, "
        f"channel {channel + 1}, which is taken alone."
    )
