"""Channels of a recording's windows: each for itself, or their mix; and how much of them is speech."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float32

from serjax.audio import SAMPLE_RATE
from serjax.audio.mixing import CANCELLED_DB, SILENT_DB, mix
from serjax.audio.stream import SoundStream
from serjax.inference.windows import Window
from serjax.runtime.errors import one_of

Channels = Literal["mix", "separate"]
"""Channels of a recording: their mean is answered, or each for itself."""


def channel_names(count: int) -> list[str]:
    """Return the names of the channels of a recording."""
    return ["left", "right"] if count == 2 else [f"{number}" for number in range(1, count + 1)]


class Part(NamedTuple):
    """Sound of a window that is answered for itself.

    Attributes:
        channel: its name; None for the mix of all.
        wave: its samples.
        speech: share of them that is speech; None where that is not known.
    """

    channel: str | None
    wave: Float32[np.ndarray, "t"]
    speech: float | None


class Splitter:
    """Takes the windows of a recording apart into what is answered.

    How channels are mixed is decided for each window (`serjax.audio.mixing.mix`). The first time that one is left out,
    the recording gets a note.
    """

    def __init__(self, stream: SoundStream, *, separate: bool) -> None:
        """Begin a recording.

        Args:
            stream: the recording; rows of its windows behind those of its channels are marks of speech.
            separate: take each channel for itself.
        """
        self._stream, self._separate = stream, separate
        self._names = channel_names(stream.channels)
        self._told: set[str] = set()

    def __call__(self, window: Window) -> list[Part]:
        """Return the parts of a window."""
        count = self._stream.channels
        sound, marks = window.wave[:count], window.wave[count:]
        speech: Sequence[float | None] = [float(row.mean()) for row in marks] or [None] * count
        found = mix(sound.T)
        seconds = window.start / SAMPLE_RATE
        channels = one_of([self._names[one] for one in found.silent])
        if self._separate:
            if found.silent and not len(marks):
                self._tell(
                    "silent",
                    f"from {seconds:.1f} s on channels are silent in places ({channels}; {SILENT_DB:g} dB below the "
                    "loudest), and an answer for silence means nothing; --vad energy leaves it out.",
                )
            return [Part(*one) for one in zip(self._names, sound, speech, strict=True)]
        if found.silent:
            self._tell(
                "silent",
                f"from {seconds:.1f} s on channels are silent in places ({channels}; {SILENT_DB:g} dB below the "
                "loudest), and left out of the mean there.",
            )
        if found.instead is not None:
            self._tell(
                "cancelled",
                f"from {seconds:.1f} s on channels cancel each other in places (their mean is {CANCELLED_DB:g} dB "
                f"below the loudest, {self._names[found.instead]}); the loudest is heard there.",
            )
        return [Part(None, found.wave, speech[0])]

    def _tell(self, kind: str, note: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            self._stream.notes.append(f"{self._stream.source}: {note}")
