"""Videos, and recordings that libsndfile does not read, by PyAV (FFmpeg): opening, packets, frames, and their sound."""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
from jaxtyping import Float32

from serjax.audio.decode import UNREADABLE_SUFFIXES, VIDEO_SUFFIXES
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


@contextlib.contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """Open a file that exists, to read it alone.

    Raises:
        UserError: it is of no format that FFmpeg reads, or lacks what stands at its end.
    """
    recording = path.suffix.lower() in UNREADABLE_SUFFIXES - VIDEO_SUFFIXES
    kind = "a recording that FFmpeg reads" if recording else "a video"
    unknown = UserError(
        f"{path}: it is not {kind}, or so much of its end is missing that nothing in it can be found; get it again."
    )
    try:
        # As a file, and nothing but files: a name with a colon is no address, and a playlist fetches nothing.
        options = {"protocol_whitelist": "file"} | ({} if demuxers is None else {"format_whitelist": demuxers})
        container = av.open(f"file:{path}", metadata_errors="ignore", options=options)
    except av.error.FFmpegError:
        raise unknown from None
    with container:
        if not container.streams:
            raise unknown
        yield container


def packets(container: InputContainer, *streams: VideoStream | AudioStream) -> Iterator["Packet[Any]"]:
    """Yield the packets of streams, by default of all, and end where the file breaks off."""
    with contextlib.suppress(av.error.FFmpegError):
        yield from container.demux(*streams)


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
        except av.error.FFmpegError:
            if damaged is not None:
                damaged.append(number)


class Track(NamedTuple):
    """The first sound track of an open file.

    Attributes:
        rate: in Hz.
        channels: how many it has.
        seconds: its length as the file gives it; None where it does not say.
        blocks: Float32[np.ndarray, "t c"], to be read once.
    """

    rate: int
    channels: int
    seconds: float | None
    blocks: Iterator[Float32[np.ndarray, "t c"]]


@contextlib.contextmanager
def open_track(path: Path) -> Iterator[Track | None]:
    """Open the first sound track in a file, to read it block by block; None where it has none.

    Sound that begins after the picture is preceded by silence; of a file that breaks off, what decodes is read.

    Raises:
        UserError: see `opened`; or the track holds no sound that decodes.
    """
    with opened(path) as container:
        if not container.streams.audio:
            yield None
            return
        stream = container.streams.audio[0]
        coming = frames(container, stream)
        first = next(coming, None)
        if first is None:
            raise UserError(f"{path}: no sound decodes in its sound track; get it again.")
        # Of the frame: with spectral band replication the container's rate is half of it.
        rate, channels = first.rate, len(first.layout.channels)
        late = (first.time or 0.0) - (container.start_time or 0) / av.time_base
        silence = np.zeros((max(0, round(late * rate)), channels), np.float32)
        resampler = av.AudioResampler(format="fltp", layout=first.layout, rate=rate)
        pieces = (piece for frame in itertools.chain([first], coming) for piece in resampler.resample(frame))
        blocks = (piece.to_ndarray().T for piece in pieces)
        seconds = None if container.duration is None else container.duration / av.time_base
        yield Track(rate, channels, seconds, itertools.chain([silence], blocks))


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
