"""Sound files and arrays, read block by block: memory holds a block, however long the recording is."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soxr
from jaxtyping import Float32, Shaped

from serjax.audio import SAMPLE_RATE
from serjax.audio.decode import to_float
from serjax.audio.reading import Sound, open_sound
from serjax.runtime.errors import UserError
from serjax.runtime.remote import as_path, is_remote

_SECONDS = 4
"""Length of a block."""


@dataclass(frozen=True)
class SoundStream:
    """Sound of an open recording.

    Attributes:
        source: what a message calls it.
        own_rate: of the recording, in Hz.
        channels: how many it has.
        seconds: its length as its header gives it; None where it does not say.
        blocks: Float32[np.ndarray, "t c"] at 16 kHz, to be read once. Reading them raises a `UserError` for samples
            that are NaN or infinite, and where the recording cannot be decoded.
        frames: samples of a channel at 16 kHz, exactly; None where only reading tells.
        notes: sentences on what was read, complete when the blocks have been read.
    """

    source: str
    own_rate: int
    channels: int
    seconds: float | None
    blocks: Iterator[Float32[np.ndarray, "t c"]]
    frames: int | None = None
    notes: list[str] = field(default_factory=list)


@contextmanager
def open_stream(sound: str | Path | tuple[Shaped[np.ndarray, "t *c"], int | float]) -> Iterator[SoundStream]:
    """Open a recording that is read block by block at 16 kHz, with its channels apart.

    Args:
        sound: path or URL of any file that `decode` reads; or samples [t] or [t c] with their rate in Hz.

    Raises:
        UserError: it cannot be opened, is empty, or its header does not say how long it is.
    """
    if isinstance(sound, tuple):
        samples, rate = np.asarray(sound[0]), float(sound[1])
        if not (math.isfinite(rate) and rate >= 1):
            raise UserError(f"the array: its rate is given as {rate:g}; give a positive number of Hz.")
        found = to_float(samples, "the array")
        found = found[:, None] if found.ndim == 1 else found
        step = round(_SECONDS * rate)
        parts = (found[start : start + step] for start in range(0, len(found), step))
        yield _stream("the array", rate, found.shape[1], len(found) / rate, parts, len(found))
        return
    path = as_path(sound)
    with open_sound(path) as file:
        notes: list[str] = []
        blocks = _watched(file.blocks, file, path, notes)
        yield _stream(str(path), file.rate, file.channels, file.seconds, blocks, file.frames, notes)


def _size(path: Path) -> int:
    """Return the bytes of a file; 0 for a URL, for which each look is a request."""
    return 0 if is_remote(path) else path.stat().st_size


def _watched(
    parts: Iterator[np.ndarray], file: Sound, path: Path, notes: list[str]
) -> Iterator[Float32[np.ndarray, "t c"]]:
    """Yield blocks, and say at their end what is missing, or that the file has grown."""
    size, done = _size(path), 0
    for part in parts:
        done += len(part)
        yield part
    said = file.loss.sentence(path, "the rest is answered.")
    if said is not None:
        notes.append(said)
    if not done and file.loss.seconds:
        raise UserError(f"{path}: it breaks off before its first sample; get it again.")
    if _size(path) > size:
        notes.append(f"{path}: it grew while it was read; the first {done / file.rate:.1f} s are answered.")


def _stream(
    source: str,
    rate: float,
    channels: int,
    seconds: float | None,
    parts: Iterator[Float32[np.ndarray, "t c"]],
    frames: int | None,
    notes: list[str] | None = None,
) -> SoundStream:
    blocks = _resampled(_checked(parts, rate, source), rate, channels)
    # soxr's output is rounded to the nearest sample, halves upwards.
    exact = None if frames is None else math.floor(frames * SAMPLE_RATE / rate + 0.5)
    return SoundStream(source, round(rate), channels, seconds, blocks, exact, [] if notes is None else notes)


def _checked(parts: Iterator[np.ndarray], rate: float, source: str) -> Iterator[Float32[np.ndarray, "t c"]]:
    """Yield blocks, of which none holds NaN or infinity."""
    done = 0
    for part in parts:
        bad = np.flatnonzero(~np.isfinite(part).all(1))
        if len(bad):
            raise UserError(
                f"{source}: samples from {(done + bad[0]) / rate:.3f} s are NaN or infinite; write the file again."
            )
        done += len(part)
        yield part


def _resampled(parts: Iterator[np.ndarray], rate: float, channels: int) -> Iterator[Float32[np.ndarray, "t c"]]:
    """Yield blocks at 16 kHz: the same samples as from all at once, since soxr keeps its state from block to block."""
    if rate == SAMPLE_RATE:
        yield from parts
        return
    resampler = soxr.ResampleStream(rate, SAMPLE_RATE, channels, dtype="float32", quality="HQ")
    for part in parts:
        found = resampler.resample_chunk(part)
        if len(found):
            yield found
    rest = resampler.resample_chunk(np.zeros((0, channels), np.float32), last=True)
    if len(rest):
        yield rest
