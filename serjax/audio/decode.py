"""Sound files, videos and arrays in, mono float32 at one rate out: soundfile or PyAV decodes, soxr resamples."""

import logging
import math
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from jaxtyping import Float, Float32, Shaped

from serjax.audio import SAMPLE_RATE
from serjax.audio.mixing import CANCELLED_DB, cancelled, power
from serjax.runtime.errors import UserError
from serjax.runtime.remote import RemotePath, as_path, is_remote

log = logging.getLogger(__name__)

AUDIO_SUFFIXES = frozenset(
    (".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".w64", ".rf64")
) | {".sph", ".nist", ".voc", ".avr", ".paf", ".sf"}
"""Suffixes, in lower case, of the formats with a header that libsndfile reads."""

UNREADABLE_SUFFIXES = frozenset((".m4a", ".aac", ".wma", ".amr", ".webm", ".mp4", ".mka", ".ape", ".wv", ".flv"))
"""Suffixes, in lower case, of recordings that libsndfile does not read, but PyAV."""

VIDEO_SUFFIXES = frozenset((".mp4", ".m4v", ".mov", ".webm", ".mkv", ".flv", ".avi", ".mpg", ".mpeg", ".wmv", ".3gp"))
"""Suffixes, in lower case, of the videos whose sound is read."""

TRACK_SUFFIXES = VIDEO_SUFFIXES | UNREADABLE_SUFFIXES
"""Suffixes, in lower case, of what PyAV reads the sound of."""

RECEPTIVE_FIELD = 400
"""Samples at 16 kHz (25 ms): what the first frame of a wav2vec2 or HuBERT encoder sees. A shorter clip has no frame."""

_BLOCK = 1 << 20
"""Frames read at once, so that a header that lies about its length cannot ask for all the memory there is."""

_ROUNDING = 0.01
"""Seconds by which the end of a stretch may lie behind the file's: lists round their times."""


def decode(
    path: str | Path, *, start: float = 0.0, end: float | None = None, rate: int = SAMPLE_RATE
) -> Float32[np.ndarray, "t"]:
    """Decode a sound file, or the stretch of it from `start` to `end`, to mono.

    Only the stretch is read. Channels are averaged; where they cancel each other the loudest is taken, and a warning
    logged (`serjax.audio.mixing.cancelled`). soxr resamples at its quality HQ.

    Args:
        path: any file that libsndfile reads, of any rate and number of channels; or, with PyAV (extra `video`), a video
            with sound or a recording such as .m4a, .aac, .wma or .amr.
        start: where the stretch begins, in s.
        end: where it ends, in s; None means the end of the file.
        rate: of the result, in Hz.

    Returns:
        Samples in -1..1 (resampling may overshoot a little).

    Raises:
        UserError: the file is missing, empty, silent film, no sound file or damaged; the stretch lies outside of it; or
            its samples are NaN, infinite or too few for one frame.
    """
    path = as_path(path)
    check_readable(path)
    if path.suffix.lower() in TRACK_SUFFIXES:
        return _decode_track(path, start, end, rate)
    try:
        with opened(path) as source, soundfile.SoundFile(source) as file:
            return resample(_read(file, path, start, end), file.samplerate, rate, source=str(path))
    except soundfile.LibsndfileError:
        # libsndfile's own text is left out: its error state is global, and another thread may have changed it.
        raise UserError(
            f"{path}: it is not a sound file or is damaged; get it again or convert it to FLAC or WAV."
        ) from None


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
        UserError: another shape or type, a rate that is not positive, samples that are NaN or infinite, or fewer of
            them than the receptive field.
    """
    for value in (from_rate, to_rate):
        if not (math.isfinite(value) and value > 0):
            raise UserError(f"{source}: its rate is given as {value}; give a positive number of Hz.")
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


def opened(path: Path, **options: Any) -> AbstractContextManager[Any]:
    """Return what libsndfile is to open: the path, or the open file of a URL, to which options of fsspec belong."""
    if not isinstance(path, RemotePath):
        return nullcontext(path)
    try:
        return path.open("rb", **options)
    except OSError as error:
        raise UserError(f"{path}: it cannot be opened ({error.strerror}); correct the URL.") from None


def sample_rate(path: str | Path) -> int:
    """Return the rate of a sound file, or of the sound of what PyAV reads, that `decode` reads, in Hz."""
    path = as_path(path)
    if path.suffix.lower() in TRACK_SUFFIXES:
        from serjax.audio.container import track_rate

        return track_rate(path)
    # Of a file behind a URL little more than the header is fetched.
    with opened(path, block_size=1 << 16) as source:
        return soundfile.info(source).samplerate


def check_readable(path: Path) -> None:
    """Raise a `UserError` where there is no file, or an empty one, at `path`."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise UserError(f"{path}: it cannot be opened ({error.strerror}); correct the path.") from None
    if not path.is_file():
        raise UserError(f"{path}: it is not a file; give a recording.")
    if size == 0:
        raise UserError(f"{path}: the file is empty (0 bytes); get it again.")


def _read(file: soundfile.SoundFile, path: Path, start: float, end: float | None) -> Float32[np.ndarray, "t"]:
    """Return the mono stretch of an open file at the file's own rate."""
    if file.frames >= 2**40:  # a FLAC that was written to a pipe; soundfile fails at its end
        raise UserError(f"{path}: its header does not say how long it is; convert it, say with ffmpeg, to a new file.")
    first, last = stretch(path, file.frames, file.samplerate, start, end)
    mono, powers = _read_mono(file, path, first, last)
    loudest = cancelled(power(mono[:, None])[0], powers) if file.channels > 1 else None
    if loudest is not None:
        _tell_cancelled(str(path), loudest)
        mono, _ = _read_mono(file, path, first, last, loudest)
    return mono


def _read_mono(
    file: soundfile.SoundFile, path: Path, first: int, last: int, channel: int | None = None
) -> tuple[Float32[np.ndarray, "t"], Float[np.ndarray, "c"]]:
    """Return the mean of channels from one sample to another, or one channel, and the power of each channel."""
    if file.tell() != first:
        file.seek(first)
    blocks, left = [], last - first
    energy = np.zeros(file.channels)
    while left > 0:
        block = file.read(min(left, _BLOCK), dtype="float32", always_2d=True)
        if not len(block):
            break
        if channel is None and file.channels > 1:
            energy += power(block) * len(block)
            blocks.append(block.mean(axis=1))
        else:
            blocks.append(block[:, channel or 0])
        left -= len(block)
    if left > 0:
        raise UserError(f"{path}: it breaks off {left / file.samplerate:.3f} s before its end; get it again.")
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32), energy / max(last - first, 1)


def _decode_track(path: Path, start: float, end: float | None, rate: int) -> Float32[np.ndarray, "t"]:
    """Decode the sound of a video, or of a recording that libsndfile does not read."""
    if is_remote(path):
        raise UserError(f"{path}: the sound of videos is read from a disk; copy them there, or convert it to FLAC.")
    from serjax.audio.container import silent, track

    found = track(path)
    if found is None:
        raise silent(path)
    samples, own_rate = found
    first, last = stretch(path, len(samples), own_rate, start, end)
    return resample(samples[first:last], own_rate, rate, source=str(path))


def stretch(path: Path, frames: int, rate: int, start: float, end: float | None) -> tuple[int, int]:
    """Return the first sample of a stretch of a file with so many frames, and the one after its last.

    Raises:
        UserError: the stretch, in s, lies outside of the file.
    """
    seconds = frames / rate
    if start < 0 or (frames and start >= seconds):
        raise UserError(f"{path}: start {start:g} s is outside of the file, which lasts {seconds:.3f} s; correct it.")
    if end is not None and not start < end <= seconds + _ROUNDING:
        raise UserError(
            f"{path}: end {end:g} s is not between start {start:g} s and the file's end at {seconds:.3f} s; correct it."
        )
    return round(start * rate), frames if end is None else min(frames, round(end * rate))


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
