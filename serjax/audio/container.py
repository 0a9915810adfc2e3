"""Videos, and recordings that libsndfile does not read, by PyAV (FFmpeg): opening, packets, frames, and their sound."""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast, overload

import numpy as np
from jaxtyping import Float32

from serjax.audio.kinds import UNREADABLE_SUFFIXES, VIDEO_SUFFIXES
from serjax.audio.loss import Loss
from serjax.runtime.errors import MissingPackage, UserError

try:
    import av
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
except ImportError:
    raise MissingPackage("PyAV", "video", "Videos, .m4a, .aac, .wma and .amr files are decoded") from None


demuxers: str | None = None
"""Names of the only readers of FFmpeg that a file may choose, with commas; None: all. A server sets it, once."""

_FAULTS = (av.error.FFmpegError, ArithmeticError, LookupError, ValueError, MemoryError, RuntimeError, OSError)
"""Errors that damaged files make PyAV raise; EOFError is none of them, for it ends a file."""
_STAMPED = frozenset(("mov", "matroska", "webm", "flv", "avi", "asf", "wv", "ape", "tta"))
"""Readers of formats that say when each packet is heard and how long the file is."""
_JITTER = 0.03
"""Seconds by which times of neighbouring packets may be apart without a loss: FLV and Matroska count milliseconds."""
_BREAK = 0.15
"""Seconds by which a track may end before its file says: codecs begin with sound that is not heard."""
_MOST_SILENCE = 600.0
"""Seconds of silence that are put before a track or into a gap; longer ones are damage to the times."""


@contextlib.contextmanager
def opened(path: Path, only: str | None = None) -> Iterator[InputContainer]:
    """Open a file that exists, to read it alone.

    Args:
        path: of the file.
        only: names of the only readers of FFmpeg that it may choose, with commas; None: all that `demuxers` allows.

    Raises:
        UserError: it is of no format that FFmpeg reads, or lacks what stands at its end.
    """
    recording = path.suffix.lower() in UNREADABLE_SUFFIXES - VIDEO_SUFFIXES
    kind = "a recording that FFmpeg reads" if recording else "a video"
    unknown = UserError(
        f"{path}: it is not {kind}, or so much of its end is missing that nothing in it can be found; get it again."
    )
    try:
        held = contextlib.ExitStack()
        # As a file, and nothing but files: a name with a colon is no address, and a playlist fetches nothing.
        options: dict[str, str] = {"protocol_whitelist": "file"}
        if chosen := only or demuxers:
            options["format_whitelist"] = chosen
        container = held.enter_context(_open(path, options))
    except (*_FAULTS, EOFError):
        raise unknown from None
    with held:
        if not container.streams:
            raise unknown
        yield container


@contextlib.contextmanager
def _open(path: Path, options: dict[str, str]) -> Iterator[InputContainer]:
    """Open a file by its name or, where that is no text in UTF-8, by a descriptor."""
    with contextlib.ExitStack() as held:
        name = str(path)
        try:
            name.encode()
        except UnicodeEncodeError:
            name = f"/dev/fd/{held.enter_context(path.open('rb')).fileno()}"
        yield held.enter_context(av.open(f"file:{name}", metadata_errors="ignore", options=options))


def packets(
    container: InputContainer, *streams: VideoStream | AudioStream, broken: list[bool] | None = None
) -> Iterator["Packet[Any]"]:
    """Yield the packets of streams, by default of all, and end where the file breaks off, which `broken` gets."""
    with contextlib.suppress(EOFError):
        try:
            yield from container.demux(*streams)
        except _FAULTS:
            if broken is not None:
                broken.append(True)


@overload
def frames(
    container: InputContainer, stream: VideoStream, damaged: list[int] | None = None
) -> Iterator[VideoFrame]: ...
@overload
def frames(
    container: InputContainer, stream: AudioStream, damaged: list[int] | None = None
) -> Iterator[AudioFrame]: ...
def frames(
    container: InputContainer, stream: VideoStream | AudioStream, damaged: list[int] | None = None
) -> Iterator[VideoFrame | AudioFrame]:
    """Yield the frames of a stream that decode, from where the container stands.

    Args:
        container: open.
        stream: of it.
        damaged: gets the number of every packet that does not decode.
    """
    for number, packet in enumerate(packets(container, stream)):
        try:
            yield from packet.decode()
        except _FAULTS:
            if damaged is not None:
                damaged.append(number)


class Track(NamedTuple):
    """The first sound track of an open file.

    Attributes:
        rate: in Hz.
        channels: how many it has.
        seconds: its length as the file gives it; None where it does not say.
        blocks: Float32[np.ndarray, "t c"], to be read once.
        loss: what is missing of it, complete when the blocks have been read.
    """

    rate: int
    channels: int
    seconds: float | None
    blocks: Iterator[Float32[np.ndarray, "t c"]]
    loss: Loss


@contextlib.contextmanager
def open_track(path: Path, only: str | None = None) -> Iterator[Track | None]:
    """Open the first sound track in a file, to read it block by block; None where it has none.

    Sound that begins after the picture is preceded by silence, and so is what follows a gap. Of a file that breaks off
    what decodes is read.

    Args:
        path: of the file.
        only: see `opened`.

    Raises:
        UserError: see `opened`; or the track holds no sound that decodes.
    """
    with opened(path, only) as container:
        if not container.streams.audio:
            yield None
            return
        stream = container.streams.audio[0]
        seen = _Seen()
        coming = _sound_frames(container, stream, seen)
        first = next(coming, None)
        if first is None or not first.rate or not len(first.layout.channels):
            raise UserError(f"{path}: no sound decodes in its sound track; get it again.")
        # Of the frame: with spectral band replication the container's rate is half of it.
        rate, channels = first.rate, len(first.layout.channels)
        stamped = bool(_STAMPED & set(container.format.name.split(",")))
        seconds = None if container.duration is None else container.duration / av.time_base
        begin = (container.start_time or 0) / av.time_base
        loss = Loss()
        late = (first.time or 0.0) - begin
        if late > _MOST_SILENCE:
            raise UserError(f"{path}: its sound begins {late:.0f} s after its pictures; it is damaged, get it again.")
        silence = np.zeros((max(0, round(late * rate)), channels), np.float32)

        def blocks() -> Iterator[Float32[np.ndarray, "t c"]]:
            yield silence
            place = max(0.0, late)  # seconds that have come
            resampler = av.AudioResampler(format="fltp", layout=first.layout, rate=rate)
            for frame in itertools.chain([first], coming):
                if (frame.rate, len(frame.layout.channels), frame.format.name) != (rate, channels, first.format.name):
                    seen.odd += frame.samples / (frame.rate or rate)
                    continue
                gap = (frame.time - begin - place) if stamped and frame.time is not None else 0.0
                if _JITTER < gap < _MOST_SILENCE:
                    loss.inside += gap
                    yield np.zeros((round(gap * rate), channels), np.float32)
                    place += gap
                try:
                    pieces = [piece.to_ndarray().T for piece in resampler.resample(frame)]
                except _FAULTS:
                    seen.odd += frame.samples / rate
                    continue
                place += frame.samples / rate
                yield from pieces
            loss.inside += 0.0 if stamped else seen.odd
            loss.unknown |= bool(seen.broken) and not stamped
            loss.end += _lost_at_end(container, stream, seen, place, begin) if stamped else 0.0

        yield Track(rate, channels, seconds, blocks(), loss)


class _Seen:
    """Counts kept while packets are read: when the last one of any stream ends, sound of no use, and errors."""

    def __init__(self) -> None:
        self.end = self.odd = 0.0
        self.broken: list[bool] = []


def _sound_frames(container: InputContainer, stream: AudioStream, seen: _Seen) -> Iterator[AudioFrame]:
    """Yield the frames of a sound track that decode, while packets of all tracks pass by."""
    counted = container.format.name == "mp3"  # what lies between its frames is known without
    for packet in packets(container, broken=seen.broken):
        if packet.pts is not None and packet.time_base:
            seen.end = max(seen.end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        if packet.stream.index == stream.index:
            try:
                yield from cast("list[AudioFrame]", packet.decode())
            except _FAULTS:
                if packet.duration and packet.time_base and not counted:
                    seen.odd += float(packet.duration * packet.time_base)


def _lost_at_end(container: InputContainer, stream: AudioStream, seen: _Seen, place: float, begin: float) -> float:
    """Return the seconds by which a sound track ends before its file says."""
    said: float | None = None
    if stream.duration and stream.time_base:
        said = float(stream.duration * stream.time_base)
    elif container.duration:
        whole = container.duration / av.time_base
        # Pictures may go on for longer than the sound does.
        said = whole if len(container.streams) == 1 or whole - (seen.end - begin) > _BREAK else None
    lost = 0.0 if said is None else said - place
    return lost if lost > _BREAK else 0.0


def track(path: Path) -> tuple[Float32[np.ndarray, "t c"], int] | None:
    """Return the samples and the rate of the first sound track in a file; None where it has none.

    Raises:
        UserError: see `open_track`.
    """
    with open_track(path) as found:
        return None if found is None else (np.concatenate(list(found.blocks)), found.rate)


def track_rate(path: Path) -> int:
    """Return the rate of the first sound track in a file, in Hz.

    Raises:
        UserError: see `opened`; or there is no sound track.
    """
    with opened(path) as container:
        if not container.streams.audio:
            raise silent(path)
        return container.streams.audio[0].rate


def silent(path: Path) -> UserError:
    """Return the error that says that a video has no sound."""
    return UserError(f"{path}: the video has no sound; give its sound as a file beside it.")
