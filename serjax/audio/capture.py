"""Sound as it comes: from a microphone, or of a file that is played at its own speed."""

import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32

from serjax.audio import SAMPLE_RATE
from serjax.audio.stream import open_stream
from serjax.runtime.errors import MissingPackage, UserError

_BLOCK = 0.02
"""Seconds that a microphone gives at once, and the least of a file that is played."""
_QUIET = 5.0
"""Seconds without a sample after which a microphone counts as gone."""


class Captured(NamedTuple):
    """Samples that have come since the last ones.

    Attributes:
        samples: one column for each channel.
        at: when the last of them was there, as `time.monotonic` counts, in s.
        lost: how many times the device has dropped samples meanwhile.
    """

    samples: Float32[np.ndarray, "t c"]
    at: float
    lost: int = 0


class Sound(NamedTuple):
    """Sound that is coming.

    Attributes:
        name: of the device or the file.
        rate: in Hz.
        pieces: what has come whenever it is asked for; asking waits for more.
    """

    name: str
    rate: float
    pieces: Iterator[Captured]


class Device(NamedTuple):
    """A microphone, or another input of sound.

    Attributes:
        number: by which it is chosen.
        name: of the device.
        channels: how many it has.
        rate: its own, in Hz.
        default: whether it is the one that is taken where none is chosen.
    """

    number: int
    name: str
    channels: int
    rate: float
    default: bool


def devices() -> list[Device]:
    """Return the inputs of sound that this machine has.

    Raises:
        UserError: sounddevice or PortAudio is not installed.
    """
    sounddevice = _sounddevice()
    default = sounddevice.default.device[0]
    return [
        Device(number, one["name"], one["max_input_channels"], one["default_samplerate"], number == default)
        for number, one in enumerate(sounddevice.query_devices())
        if one["max_input_channels"] > 0
    ]


@contextmanager
def microphone(device: str | None = None) -> Iterator[Sound]:
    """Open an input of sound, in one channel and at the device's own rate.

    Args:
        device: its number, or a part of its name; by default the system's.

    Raises:
        UserError: sounddevice or PortAudio is not installed, there is no such device, or it cannot be opened.
    """
    sounddevice = _sounddevice()
    chosen = int(device) if device is not None and device.isdecimal() else device
    coming: queue.SimpleQueue[Captured] = queue.SimpleQueue()

    def keep(samples: np.ndarray, _frames: int, _times: Any, status: Any) -> None:
        coming.put(Captured(samples.copy(), time.monotonic(), int(bool(status.input_overflow))))

    try:
        about = sounddevice.query_devices(chosen, "input")
        rate = float(about["default_samplerate"])
        opened = sounddevice.InputStream(
            device=chosen, samplerate=rate, channels=1, dtype="float32", blocksize=round(_BLOCK * rate), callback=keep
        )
    except (sounddevice.PortAudioError, ValueError) as error:
        name = "the system's input" if device is None else f"--device {device}"
        text = str(error).splitlines()[0]
        raise UserError(
            f"{name}: it cannot be opened ({text}); choose another with --device, --list-devices names them."
        ) from None
    with opened:
        yield Sound(about["name"], rate, _drained(coming, about["name"]))


def _drained(coming: "queue.SimpleQueue[Captured]", name: str) -> Iterator[Captured]:
    """Yield all that has come since the last time, joined; it begins with what comes after it is first asked."""
    while not coming.empty():
        coming.get()
    while True:
        try:
            pieces = [coming.get(timeout=_QUIET)]
        except queue.Empty:
            raise UserError(f"{name}: it has given no sound for {_QUIET:g} s; is it still connected?") from None
        while not coming.empty():
            pieces.append(coming.get())
        yield Captured(np.concatenate([one.samples for one in pieces]), pieces[-1].at, sum(one.lost for one in pieces))


@contextmanager
def playback(
    path: str | Path, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Sound]:
    """Open a recording that comes as fast as it would be heard, at 16 kHz.

    Args:
        path: path or URL of any file that `serjax.audio.decode.decode` reads.
        clock: tells s.
        sleep: waits for so many s.

    Raises:
        UserError: it cannot be opened, or is empty.
    """
    with open_stream(path) as stream:
        yield Sound(stream.source, SAMPLE_RATE, _paced(stream.blocks, clock, sleep))


def _paced(
    blocks: Iterator[np.ndarray], clock: Callable[[], float], sleep: Callable[[float], None]
) -> Iterator[Captured]:
    """Yield all that is due since the last time, joined."""
    step = round(_BLOCK * SAMPLE_RATE)
    waiting: list[np.ndarray] = []
    began, done = clock(), 0
    for part in (block[place : place + step] for block in blocks for place in range(0, len(block), step)):
        due = began + (done + len(part)) / SAMPLE_RATE
        if due > clock() and waiting:
            yield Captured(np.concatenate(waiting), began + done / SAMPLE_RATE)
            waiting = []
        if (early := due - clock()) > 0:
            sleep(early)
        waiting.append(part)
        done += len(part)
    if waiting:
        yield Captured(np.concatenate(waiting), began + done / SAMPLE_RATE)


def _sounddevice() -> Any:
    """Return the package sounddevice.

    Raises:
        UserError: it, or the library PortAudio, is not installed.
    """
    try:
        import sounddevice
    except ImportError:
        raise MissingPackage("sounddevice", "live", "Microphones are recorded") from None
    except OSError:
        raise UserError(
            "Microphones are recorded by PortAudio, a library of the system that is not installed; on Debian and "
            "Ubuntu: apt install libportaudio2. With --file a recording is played instead."
        ) from None
    return sounddevice
