"""Sound files and arrays, read block by block: memory holds a block, however long the recording is."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from jaxtyping import Float32, Shaped

from serjax.audio import SAMPLE_RATE
from serjax.audio.decode import TRACK_SUFFIXES, check_readable, opened, to_float
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
    """

    source: str
    own_rate: int
    channels: int
    seconds: float | None
    blocks: Iterator[Float32[np.ndarray, "t c"]]


@contextmanager
def open_stream(sound: str | Path | tuple[Shaped[np.ndarray, "t *c"], int | float]) -> Iterator[SoundStream]:
    """Open a recording that is read block by block at 16 kHz, with its channels apart.

    Args:
        sound: path or URL of any file that `decode` reads; or samples [t] or [t c] with their rate in Hz.

    Raises:
        UserError: it cannot be opened, or is empty.
    """
    if isinstance(sound, tuple):
        samples, rate = np.asarray(sound[0]), float(sound[1])
        found = to_float(samples, "the array")
        found = found[:, None] if found.ndim == 1 else found
        step = round(_SECONDS * rate)
        parts = (found[start : start + step] for start in range(0, len(found), step))
        yield _stream("the array", round(rate), found.shape[1], len(found) / rate, parts)
        return
    path = as_path(sound)
    check_readable(path)
    if path.suffix.lower() in TRACK_SUFFIXES:
        if is_remote(path):
            raise UserError(f"{path}: the sound of videos is read from a disk; copy them there.")
        from serjax.audio.container import open_track, silent

        with open_track(path) as track:
            if track is None:
                raise silent(path)
            yield _stream(str(path), track.rate, track.channels, track.seconds, track.blocks)
        return
    try:
        with opened(path) as source, soundfile.SoundFile(source) as file:
            blocks = file.blocks(_SECONDS * file.samplerate, dtype="float32", always_2d=True)
            yield _stream(str(path), file.samplerate, file.channels, file.frames / file.samplerate, blocks)
    except soundfile.LibsndfileError:
        raise UserError(
            f"{path}: it is not a sound file or is damaged; get it again or convert it to FLAC or WAV."
        ) from None


def _stream(
    source: str, rate: int, channels: int, seconds: float | None, parts: Iterator[Float32[np.ndarray, "t c"]]
) -> SoundStream:
    return SoundStream(source, rate, channels, seconds, _resampled(_checked(parts, rate, source), rate, channels))


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
