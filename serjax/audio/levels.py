"""Levels of recordings: length, peak, RMS, DC offset, clipping and silence, measured block by block in one pass."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64

from serjax.audio import SAMPLE_RATE
from serjax.audio.mixing import cancelled, power
from serjax.audio.reading import open_sound
from serjax.audio.vad import CHUNK, FLOOR, FRAME
from serjax.runtime.errors import UserError
from serjax.runtime.remote import as_path

FULL_SCALE = 1 - 2.0**-15
"""Absolute value from which on a sample counts as clipped: the largest that 16 bits hold."""

QUIET_DB = 20.0
"""dB below the loudest frame of a clip from which on a frame counts as silent: the default of
`serjax.audio.vad.by_energy`, so that the share of silence is about what `data.vad=energy` leaves out."""

_BLOCK = 1 << 17
"""Frames that are read at once."""


@dataclass(frozen=True, slots=True)
class Levels:
    """Measurements of one clip.

    Peak and clipping are of all channels; the others are of their mean, or of the loudest channel where they cancel
    each other in it, which is what models hear.

    Attributes:
        seconds: length.
        rate: in Hz, as recorded.
        channels: how many.
        peak: largest absolute sample; 1 is full scale.
        rms: root mean square.
        mean: of the samples, which is their DC offset.
        deviation: root mean square without the offset.
        clipped: share of samples at `FULL_SCALE` or above, 0 to 1.
        silent: share of frames (128 ms, every 32 ms) whose power without its offset is `QUIET_DB` or more below the
            loudest frame's, or below -100 dB, 0 to 1.
        cancelled: whether the channels cancel each other in their mean, see `serjax.audio.mixing`.
        digest: hash of the samples; equal for equal samples, whatever the file's format.
        missing: seconds of it that its header promises and that do not decode.
    """

    seconds: float
    rate: int
    channels: int
    peak: float
    rms: float
    mean: float
    deviation: float
    clipped: float
    silent: float
    cancelled: bool
    digest: str
    missing: float = 0.0

    @property
    def offset(self) -> float:
        """The DC offset as a share of the RMS, 0 to 1; 0 for silence, as `serjax.audio.highpass.dc_offset`."""
        return min(1.0, abs(self.mean) / self.rms) if self.rms > 0 else 0.0


def decibels(level: float) -> float:
    """Return a peak or RMS in dB relative to full scale, at least `FLOOR`."""
    return max(FLOOR, 20 * float(np.log10(max(level, 1e-30))))


def measure(path: str | Path, *, start: float = 0.0, end: float | None = None) -> Levels:
    """Measure a file, or the stretch of it from `start` to `end`; memory holds a block of it.

    Args:
        path: any file that `serjax.audio.decode.decode` reads. Unlike there a clip may be shorter than a frame.
        start: where the stretch begins, in s.
        end: where it ends, in s; None means the end of the file.

    Raises:
        UserError: the file is missing, empty, no sound file or damaged; the stretch lies outside of it; or samples
            are NaN or infinite.
    """
    path = as_path(path)
    levels, loudest = _measured(path, start, end, None)
    if loudest is not None:
        levels, _ = _measured(path, start, end, loudest)
        levels = replace(levels, cancelled=True)
    return levels


def measure_samples(samples: Float32[np.ndarray, "t"], rate: int = SAMPLE_RATE) -> Levels:
    """Measure mono samples that are in memory.

    Raises:
        UserError: there are none, or some are NaN or infinite.
    """
    parts = (samples[at : at + _BLOCK, None] for at in range(0, len(samples), _BLOCK))
    levels, _ = _take("the array", rate, 1, parts, None)
    return levels


def _measured(path: Path, start: float, end: float | None, channel: int | None) -> tuple[Levels, int | None]:
    """Return the levels by the mean of channels or by one channel, and the channel to take where they cancel."""
    with open_sound(path, start=start, end=end) as sound:
        levels, loudest = _take(str(path), sound.rate, sound.channels, sound.blocks, channel)
    # A loss of unknown length is one sample at least.
    missing = max(sound.loss.seconds, 1 / sound.rate) if sound.loss.seconds else 0.0
    return replace(levels, missing=missing), loudest


def _take(
    source: str, rate: int, channels: int, blocks: Iterable[Float32[np.ndarray, "t c"]], channel: int | None
) -> tuple[Levels, int | None]:
    """Add up blocks; see `_measured`."""
    count, peak, clipped, total, squares = 0, 0.0, 0, 0.0, 0.0
    powers, hashed = np.zeros(channels), hashlib.blake2b(digest_size=16)
    step = max(1, round(CHUNK * rate / SAMPLE_RATE))
    rest, means, powers_of_chunks = np.zeros(0), [], []
    for block in blocks:
        if not np.isfinite(block).all():
            bad = int(np.flatnonzero(~np.isfinite(block).all(1))[0])
            raise UserError(
                f"{source}: samples from {(count + bad) / rate:.3f} s on are NaN or infinite; write the file again."
            )
        if not len(block):
            continue
        size = np.abs(block)
        peak, clipped = max(peak, float(size.max())), clipped + int(np.count_nonzero(size >= FULL_SCALE))
        if channel is None and channels > 1:
            powers += power(block) * len(block)
            mono = block.mean(1, dtype=np.float64)  # float32 overflows where samples are garbage
        else:
            mono = block[:, channel or 0].astype(np.float64)
        hashed.update(np.ascontiguousarray(mono, "<f4").data)
        # No product of matrices: threads of BLAS cost more than they save at this size.
        count, total, squares = (
            count + len(block),
            total + float(mono.sum()),
            squares + float(np.einsum("t,t->", mono, mono)),
        )
        rest = np.concatenate([rest, mono])
        whole = rest[: len(rest) // step * step].reshape(-1, step)
        means.append(whole.mean(1))
        powers_of_chunks.append(np.einsum("nt,nt->n", whole, whole) / step)
        rest = rest[whole.size :]
    if not count:
        raise UserError(f"{source}: it holds no samples; record it again.")
    if not sum(map(len, means)):  # shorter than a chunk
        means, powers_of_chunks = [rest.mean(keepdims=True)], [np.mean(rest**2, keepdims=True)]
    mean, square = total / count, squares / count
    levels = Levels(
        seconds=count / rate,
        rate=rate,
        channels=channels,
        peak=peak,
        rms=float(np.sqrt(square)),
        mean=mean,
        deviation=float(np.sqrt(max(0.0, square - mean**2))),
        clipped=clipped / (count * channels),
        silent=_silent(np.concatenate(means), np.concatenate(powers_of_chunks)),
        cancelled=False,
        digest=hashed.hexdigest(),
    )
    instead = cancelled(square, powers / count) if channels > 1 and channel is None else None
    return levels, instead


def _silent(means: Float64[np.ndarray, "n"], powers: Float64[np.ndarray, "n"]) -> float:
    """Return the share of silent frames, from the mean and the mean square of chunks, of which a frame has four."""
    width = min(FRAME // CHUNK, len(means))
    window = np.ones(width) / width
    own = np.convolve(powers, window, "valid") - np.convolve(means, window, "valid") ** 2
    level = 10 * np.log10(np.maximum(own, 10 ** (FLOOR / 10)))
    return float(np.mean((level <= FLOOR) | (level <= level.max() - QUIET_DB)))
