"""Sound files opened, whoever decodes them: libsndfile by a descriptor or by name, or PyAV where it errs or cannot."""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from jaxtyping import Float32

from serjax.audio.flac import behind_flac
from serjax.audio.headers import Promise, promise, promise_in
from serjax.audio.kinds import TRACK_SUFFIXES, kind_of
from serjax.audio.loss import Loss
from serjax.audio.mpeg import Frames, count_frames
from serjax.audio.packets import breaks_off, is_chained
from serjax.audio.quiet import without_mpg123
from serjax.audio.stretches import part_of, stretch
from serjax.runtime.errors import MissingPackage, UserError
from serjax.runtime.remote import RemotePath, as_path, is_remote

LOWEST_RATE, HIGHEST_RATE = 100, 10_000_000
"""Hz between which the rate of a recording lies: another one is damage, and would ask for absurd memory at 16 kHz."""

_SECONDS = 4
"""Length of a block that is read at once."""

_BLOCK = 1 << 20
"""Frames of a block at most, so that a header that lies about its length cannot ask for all the memory there is."""

_PLAIN = "wav,w64,aiff,au,caf,flac,ogg,mp3,aac,voc,nistsphere"
"""Readers of FFmpeg that a file may choose whose bytes do not say that it is of another kind: those of plain sound."""

_FRAMES = 3
"""Frames of MP3 by which lengths may differ: what an encoder adds at both ends is cut off or not."""

_FAULTS = (RuntimeError, TypeError, ValueError, OSError, ArithmeticError, LookupError, MemoryError)
"""Errors that libsndfile and its wrapper raise of damaged files; its own is a RuntimeError."""


@dataclass(frozen=True)
class Sound:
    """Sound of an open recording, or of a stretch of it.

    Attributes:
        rate: in Hz.
        channels: how many.
        frames: samples of a channel in the whole recording as far as they are there; None where only reading tells.
        seconds: length of the whole recording; None where it does not say.
        blocks: Float32[np.ndarray, "t c"] of the stretch, to be read once.
        loss: what is missing, complete when the blocks have been read.
    """

    rate: int
    channels: int
    frames: int | None
    seconds: float | None
    blocks: Iterator[Float32[np.ndarray, "t c"]]
    loss: Loss = field(default_factory=Loss)


@contextmanager
def open_sound(path: str | Path, *, start: float = 0.0, end: float | None = None) -> Iterator[Sound]:
    """Open any recording, told by its bytes, to be read block by block at its own rate.

    libsndfile is asked first for what it reads. Where it does not read the file, is known to guess its length (MP3
    files without a count), or the file is an MP3 with holes, PyAV decides.

    Args:
        path: of the file, or its URL.
        start: where the stretch begins, in s.
        end: where it ends, in s; None means the end of the file. Only files whose length is not known are read up to
            `start`; their blocks raise the error of a stretch that lies outside.

    Raises:
        UserError: the file is missing, empty, silent film, no sound file or damaged from its start, or of a rate that
            no sound has; or the stretch lies outside of it.
    """
    path = as_path(path)
    check_readable(path)
    with ExitStack() as held:
        if is_remote(path):
            if path.suffix.lower() in TRACK_SUFFIXES:
                raise UserError(
                    f"{path}: the sound of videos is read from a disk; copy them there, or convert it to FLAC."
                )
            source = held.enter_context(opened(path))
            said = promise_in(source)
            sound = _by_libsndfile(path, held, lambda: [soundfile.SoundFile(source)], None, said, start, end)
        else:
            sound = _local(path, held, start, end)
        if sound is None:
            raise UserError(f"{path}: it is not a sound file or is damaged; get it again or convert it to FLAC or WAV.")
        if not LOWEST_RATE <= sound.rate <= HIGHEST_RATE:
            raise UserError(
                f"{path}: its header gives a rate of {sound.rate} Hz, not one of {LOWEST_RATE} to {HIGHEST_RATE}; "
                "it is damaged, get it again."
            )
        yield sound


def _local(path: Path, held: ExitStack, start: float, end: float | None) -> Sound | None:
    """Open a file on the disk by whichever decoder is to be believed; None: neither reads it."""
    kind, named = kind_of(path), path.suffix.lower() in TRACK_SUFFIXES
    frames = count_frames(path) if kind in ("mp3", "unknown") and not named else None
    sound = None
    ours = kind in ("sound", "mp3") or (kind == "unknown" and not named)
    if ours and (frames is None or frames.clean):
        with without_mpg123(kind != "sound"):
            sound = _by_libsndfile(path, held, lambda: _ways(path, held), frames, promise(path), start, end)
    if sound is not None:
        return sound
    only = None if kind == "track" or named else "mp3" if frames is not None else _PLAIN
    try:
        return _by_pyav(path, held, only, frames, start, end)
    except MissingPackage:
        if kind == "track" or named:
            raise
        if frames is None and not _uncounted(path):
            return None
        what = (
            "its frames do not say how long it is, or have gaps" if frames else "its header does not say how long it is"
        )
        raise UserError(f"{path}: {what}; pip install 'serjax[video]' to have it read, or convert it.") from None


def _uncounted(path: Path) -> bool:
    said = promise(path)
    return said is not None and said.uncounted


def _ways(path: Path, held: ExitStack) -> Iterator[soundfile.SoundFile]:
    """Yield the file as libsndfile opens it: by a descriptor, else by its name.

    By name it looks for a resource fork in `._NAME` beside the file, as macOS leaves them, and takes that for the
    file; by a descriptor it does not see the suffix, which alone tells some formats.
    """
    descriptor = os.open(path, os.O_RDONLY)
    held.callback(os.close, descriptor)
    for source in (descriptor, path):
        with contextlib.suppress(*_FAULTS):
            yield soundfile.SoundFile(source, closefd=False)
        os.lseek(descriptor, 0, os.SEEK_SET)


def _by_libsndfile(
    path: Path,
    held: ExitStack,
    ways: Callable[[], Iterable[soundfile.SoundFile]],
    mp3: Frames | None,
    said: Promise | None,
    start: float,
    end: float | None,
) -> Sound | None:
    """Open a file by libsndfile; None where it does not read it, or is not to be believed.

    libsndfile's own text is never shown: its error state is global, and another thread may have changed it.
    """
    try:
        file = next(iter(ways()), None)
    except UserError:
        raise
    except _FAULTS:
        return None
    if file is None:
        return None
    held.callback(file.close)
    rate, loss = file.samplerate, Loss()
    if rate <= 0 or file.channels <= 0:
        return None
    unknown = file.frames >= 2**40 or (file.frames <= 0 and said is not None and said.uncounted)
    if unknown:  # FLAC or WAV that was written to a pipe
        if is_remote(path):
            raise UserError(f"{path}: its header does not say how long it is; convert it, say with ffmpeg, to another.")
        return None
    if is_remote(path) and file.format in ("OGG", "MP3"):
        pass  # their last bytes, or all, would be fetched for nothing
    elif file.format == "OGG":
        if is_chained(path):
            return None
        loss.unknown = breaks_off(path)
    elif mp3 is not None:
        counted = mp3.number if mp3.said is None else mp3.said
        if mp3.said is None or abs(file.frames - counted * mp3.size) > _FRAMES * mp3.size:
            return None
    elif file.format == "FLAC":
        loss.more = 0.0 if is_remote(path) else behind_flac(path, file.frames, rate)
    elif (said := promise(path)) is not None:
        loss.end = said.lost(max(0, file.frames) / rate)
        loss.unknown = said.missing > 0 and not loss.end
        loss.more = said.more(max(0, file.frames) / rate)
    first, last = stretch(path, file.frames, rate, start, end, loss.end)
    if last < file.frames or (end is not None and round(end * rate) <= last):
        loss.forget_end()  # the stretch is there, whatever the file lacks
    slack = _FRAMES * mp3.size if mp3 is not None else _FRAMES * 1152 if file.subtype.startswith("MPEG") else 0
    return Sound(rate, file.channels, file.frames, file.frames / rate, _blocks(file, first, last, loss, slack), loss)


def _blocks(
    file: soundfile.SoundFile, first: int, last: int, loss: Loss, slack: int
) -> Iterator[Float32[np.ndarray, "t c"]]:
    """Yield blocks from one frame to another; what does not decode is a loss."""
    place, quiet = 0, file.subtype.startswith("MPEG")
    # To the first sample too: of a file behind a URL libsndfile may stand elsewhere.
    with contextlib.suppress(*_FAULTS), without_mpg123(quiet):
        place = file.seek(first)  # GSM and G.721 cannot, and are read up to there
    while place < last:
        size = min(_BLOCK, _SECONDS * file.samplerate, (first if place < first else last) - place)
        try:
            with without_mpg123(quiet):
                block = _read(file, size)
        except _FAULTS:
            block = np.zeros((0, file.channels), np.float32)
        if not len(block):
            break
        place += len(block)
        if place > first:
            yield block
    if last - place > slack:
        loss.end += (last - place) / file.samplerate


def _read(file: soundfile.SoundFile, size: int) -> Float32[np.ndarray, "t c"]:
    """Return the next frames of a file.

    `SoundFile.read` seeks after each read, which not every format can.
    """
    block = np.empty((size, file.channels), np.float32)
    pointer = soundfile._ffi.cast("float*", block.ctypes.data)
    count = soundfile._snd.sf_readf_float(file._file, pointer, size)
    code = soundfile._snd.sf_error(file._file)
    if code and not count:
        raise soundfile.LibsndfileError(code)
    return block[: max(0, count)]


def _by_pyav(
    path: Path, held: ExitStack, only: str | None, mp3: Frames | None, start: float, end: float | None
) -> Sound | None:
    """Open a file by PyAV; None where it reads no plain sound in it either.

    Raises:
        MissingPackage: PyAV is not installed.
        UserError: it is of a kind that only PyAV reads, and damaged or without sound; or the stretch is impossible.
    """
    from serjax.audio.container import open_track, silent

    try:
        track = held.enter_context(open_track(path, only))
    except UserError:
        if only is None:
            raise
        return None
    if track is None:
        if only is None:
            raise silent(path)
        return None
    loss, seconds = track.loss, track.seconds
    if only is not None:
        seconds = None if mp3 is None else mp3.seconds
        if mp3 is not None:
            loss.inside, loss.end, loss.unknown = mp3.gap, mp3.missing, mp3.partial and mp3.said is None
    if start < 0 or (end is not None and end <= start):
        raise UserError(f"{path}: the stretch from {start:g} s to {end} s is none; correct it.")
    elif breaks_off(path):
        loss.unknown = True
    said = promise(path)
    first, last = round(start * track.rate), None if end is None else round(end * track.rate)
    blocks = part_of(track.blocks, path, track.rate, first, last, loss, said)
    return Sound(track.rate, track.channels, None, seconds, blocks, loss)


def opened(path: Path, **options: Any) -> AbstractContextManager[Any]:
    """Return the open file of a URL, to which options of fsspec belong."""
    assert isinstance(path, RemotePath)
    try:
        return path.open("rb", **options)
    except OSError as error:
        raise UserError(f"{path}: it cannot be opened ({error.strerror}); correct the URL.") from None


def sample_rate(path: str | Path) -> int:
    """Return the rate of a recording that `open_sound` opens, in Hz."""
    path = as_path(path)
    if is_remote(path):
        # Little more than the header is fetched.
        with opened(path, block_size=1 << 16) as source:
            return soundfile.info(source).samplerate
    with open_sound(path) as sound:
        return sound.rate


def check_readable(path: Path) -> None:
    """Raise a `UserError` where there is no file at `path`, an empty one, or a folder, a named pipe or a device."""
    try:
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        why, name = (error.strerror, path) if isinstance(error, OSError) else (error, repr(str(path)))
        raise UserError(f"{name}: it cannot be opened ({why}); correct the path.") from None
    if not path.is_file():
        raise UserError(f"{path}: it is not a file; give a recording.")
    if size == 0:
        raise UserError(f"{path}: the file is empty (0 bytes); get it again.")
