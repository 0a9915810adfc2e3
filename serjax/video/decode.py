"""Videos in, a few evenly spaced frames out, small and upright; the sound inside them too."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from serjax.audio import SAMPLE_RATE
from serjax.audio.container import frames as decoded
from serjax.audio.container import opened, packets, track
from serjax.audio.decode import resample
from serjax.audio.reading import check_readable
from serjax.runtime.errors import MissingPackage, UserError
from serjax.video.config import FRAMES, SIZE, Box, Picture

try:
    import av
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Disposition
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
except ImportError:
    raise MissingPackage("PyAV", "video", "Videos, .m4a, .aac, .wma and .amr files are decoded") from None

_BREAK = Fraction(1, 2)
"""Seconds by which a video may end before its header says so, and not be called broken off."""

_SEEK = 2
"""Seconds into a file from which on it is faster to look for a stretch than to decode all that is before it."""


_OBLONG = 4
"""A pixel that is so many times as wide as high, or as high as wide, is taken for a slip of the file."""


class Clip(NamedTuple):
    """Some frames of a video.

    Attributes:
        frames: their pixels, RGB.
        box: the part of the whole picture, upright and of square pixels, that they show; None where nothing was looked
            for or found: all of it.
        note: what is to be said of the video, that it breaks off or is damaged in part.
        seconds: how long the file shows pictures.
    """

    frames: UInt8[np.ndarray, "n h w 3"]
    box: Box | None
    note: str | None
    seconds: float


class _Span(NamedTuple):
    """Timing of a stretch by the packets of a file, in s.

    Attributes:
        first: when its first frame appears.
        last: when its last frame appears.
        begin: when the first frame of the file appears.
        until: when the last frame of the file ends.
        slack: how much may be missing unnoticed.
        pixel: how wide the file's pixels are to be shown, over how high.
        note: of `Clip`, that the file breaks off.
    """

    first: Fraction
    last: Fraction
    begin: Fraction
    until: Fraction
    slack: Fraction
    pixel: Fraction
    note: str | None


def read(
    path: str | Path,
    count: int = FRAMES,
    *,
    start: float = 0.0,
    end: float | None = None,
    size: int = SIZE,
    find: Callable[[Picture], Box | None] | None = None,
) -> Clip:
    """Decode what is on the screen at `count` evenly spaced moments, from the first frame to the last.

    At a constant rate these are the frames `floor(linspace(0, total - 1, count))`; where rates vary it is time that is
    evenly divided. All frames are decoded, one after the other, but only the wanted ones are converted and none is
    kept at its full size. Where pixels are not square `find` sees the picture in its right shape, and what it returns
    is cut out in that shape.

    Args:
        path: any video that FFmpeg reads: FLV, MP4, WebM, AVI ...
        count: of moments; a video of fewer frames repeats some.
        start: where a stretch of the file begins, in s.
        end: where it ends; None means the end of the file.
        size: width and height of the result, to which frames are resized whatever their shape.
        find: returns the part of all frames that is wanted, given the first of them, upright, whole and of square
            pixels.

    Raises:
        UserError: the file is missing, empty, no video or has no frame that decodes; or the stretch lies outside.
    """
    path = Path(path)
    check_readable(path)
    span = _span(path, start, end)
    _, first = next(_on_screen(_timed(path, span.first), [span.first]), (None, None))
    if first is None:
        raise UserError(f"{path}: it has no frame that decodes; get the video again.")
    box = find(_in_shape(first, span.pixel)) if find else None
    span = span._replace(last=span.first) if count == 1 else span
    damaged: list[int] = []
    small, reached = _sample(path, span, count, size, box, damaged)
    note = span.note
    if note is None and span.last - reached > span.slack:
        note = f"no frame decodes after {float(reached - span.first):.2f} s; those before are used."
    elif note is None and damaged:
        note = f"{len(damaged)} of its frames do not decode; the others are used."
    if reached < span.last:
        small, _ = _sample(path, span._replace(last=reached), count, size, box, [])
    return Clip(np.stack(small), box, note and f"{path}: {note}", float(span.until - span.begin))


def sound(path: str | Path) -> Float32[np.ndarray, "t"] | None:
    """Return the sound inside a video at 16 kHz, its channels averaged; None where it has no sound track.

    Raises:
        UserError: the file is missing, empty or no video, or its sound cannot be used (see `resample`).
    """
    path = Path(path)
    check_readable(path)
    found = track(path)
    return None if found is None else resample(*found, SAMPLE_RATE, source=str(path))


def has_sound(path: str | Path) -> bool:
    """Return whether there is a sound track in a video.

    Raises:
        UserError: the file is missing, empty or no video.
    """
    check_readable(Path(path))
    with opened(Path(path)) as container:
        return bool(container.streams.audio)


def _sample(
    path: Path, span: _Span, count: int, size: int, box: Box | None, damaged: list[int]
) -> tuple[list[Picture], Fraction]:
    """Return the frames, cut out and resized, and when the last of them appears."""
    moments = [span.first + (span.last - span.first) * i / max(1, count - 1) for i in range(count)]
    small: list[Picture] = []
    before, reached = None, span.first
    for time, frame in _on_screen(_timed(path, span.first, damaged), moments):
        if frame is not before:
            image = Image.fromarray(_upright(frame))
            part = box and _stored(box, image.size, _shape(frame, span.pixel))
            picture = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, part))
        small.append(picture)
        before, reached = frame, time
    return small, reached


def _on_screen(
    timed: Iterable[tuple[Fraction, VideoFrame]], moments: Sequence[Fraction]
) -> Iterator[tuple[Fraction, VideoFrame]]:
    """Yield for each moment, in turn, the last frame until then, or else the first, and when it appears."""
    waiting = deque(moments)
    shown: tuple[Fraction, VideoFrame] | None = None
    for time, frame in timed:
        while shown and waiting and waiting[0] < time:
            yield shown
            waiting.popleft()
        if not waiting:
            return
        shown = time, frame
    if shown:
        yield from [shown] * len(waiting)


def _timed(path: Path, start: Fraction, damaged: list[int] | None = None) -> Iterator[tuple[Fraction, VideoFrame]]:
    """Yield frames with their times, in s, from the one on the screen at `start`, or from an earlier one, on."""
    if start > _SEEK:
        found = _timed_from(path, start, damaged)
        first = next(found, None)
        if first and first[0] <= start:  # indices are missing, or wrong
            yield first
            yield from found
            return
    yield from _timed_from(path, None, damaged)


def _timed_from(path: Path, start: Fraction | None, damaged: list[int] | None) -> Iterator[tuple[Fraction, VideoFrame]]:
    """Yield frames with their times from the start of the file, or from the last key frame before `start`."""
    with opened(path) as container:
        stream = _moving(container, path)
        stream.codec_context.thread_count = 1  # clips are decoded side by side, and threads hold frames
        if start is not None and stream.time_base:
            container.seek(int(start / stream.time_base), stream=stream)
        before = None
        for frame in decoded(container, stream, damaged):
            if start is not None and frame.pts is None:  # nobody knows where this is
                return
            before = _time(frame, stream, before)
            yield before, frame


def _span(path: Path, start: float, end: float | None) -> _Span:
    """Learn from all packets, decoding none, when frames appear and whether the file is whole."""
    times: list[Fraction] = []
    until = over = Fraction(0)  # where the pictures end, and where everything does
    with opened(path) as container:
        stream = _moving(container, path)
        for packet in packets(container):
            base = packet.time_base
            if packet.stream.index == stream.index and packet.size and not packet.is_discard:
                times.append(_time(packet, stream, times[-1] if times else None))
                until = max(until, times[-1] + ((packet.duration or 0) * base if base else 0))
            elif packet.pts is not None and base:
                over = max(over, (packet.pts + (packet.duration or 0)) * base)
        begin = Fraction(container.start_time or 0, av.time_base)
        declared = Fraction(container.duration or 0, av.time_base)
        # FFmpeg says of an AVI how much there is, not how much there should be.
        if container.format.name == "avi" and stream.average_rate:
            declared = max(declared, stream.frames / stream.average_rate)
        pixel = _pixel(stream)
    if not times:
        raise UserError(f"{path}: its video track has no frame; get the video again.")
    times.sort()
    until = max(until, times[-1])
    over = max(over, until)
    first, after = begin + Fraction(start), None if end is None else begin + Fraction(end)
    if start < 0 or first > until or (end is not None and end <= start):
        raise UserError(
            f"{path}: the stretch from {start:g} s to {'its end' if end is None else f'{end:g} s'} is not within the "
            f"video, which lasts {float(until - begin):.3f} s; correct it."
        )
    slack = max([_BREAK, *(2 * (later - earlier) for earlier, later in pairwise(times))])
    note = None
    if begin + declared - over > slack and (after is None or after > over):
        note = f"it breaks off after {float(over - begin):.2f} of {float(declared):.2f} s; what is before is used."
    first = max((time for time in times if time <= first), default=times[0])
    last = max((time for time in times if after is None or time < after), default=first)
    return _Span(first, max(first, last), times[0], until, slack, pixel, note)


def _time(stamped: "VideoFrame | Packet[Any]", stream: VideoStream, before: Fraction | None) -> Fraction:
    """Return when a frame appears, in s; one without a time follows the one before it at the usual distance."""
    stamp = stamped.pts if stamped.pts is not None else stamped.dts
    if stamp is not None and stream.time_base is not None:
        return stamp * stream.time_base
    return Fraction(0) if before is None else before + 1 / (stream.average_rate or Fraction(25))


def _moving(container: InputContainer, path: Path) -> VideoStream:
    """Return the first stream of moving pictures."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:  # the cover of a sound file
            return stream
    raise UserError(f"{path}: it has no video track; give a video.")


def _upright(frame: VideoFrame) -> Picture:
    """Return a frame's pixels, turned as the file asks for."""
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90)))


def _pixel(stream: VideoStream) -> Fraction:
    """Return how wide a stream's pixels are over how high; 1 where it does not say so, or says what cannot be."""
    ratio = stream.sample_aspect_ratio
    return ratio if ratio and Fraction(1, _OBLONG) < ratio < _OBLONG else Fraction(1)


def _shape(frame: VideoFrame, pixel: Fraction) -> tuple[int, int]:
    """Return a frame's width and height, upright, with pixels stretched until they are square."""
    width = round(frame.width * max(pixel, Fraction(1)))
    height = round(frame.height / min(pixel, Fraction(1)))
    return (height, width) if round(frame.rotation / 90) % 2 else (width, height)


def _in_shape(frame: VideoFrame, pixel: Fraction) -> Picture:
    """Return a frame's pixels, turned as the file asks for and stretched until they are square."""
    picture, shape = _upright(frame), _shape(frame, pixel)
    if shape == picture.shape[1::-1]:
        return picture
    return np.asarray(Image.fromarray(picture).resize(shape, Image.Resampling.BILINEAR))


def _stored(box: Box, size: tuple[int, int], shape: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return where a part of a picture of this shape lies in the picture as it is stored, of this size."""
    across, down = (Fraction(now, then) for now, then in zip(size, shape, strict=True))
    left, top, right, bottom = box
    return float(left * across), float(top * down), float(right * across), float(bottom * down)
