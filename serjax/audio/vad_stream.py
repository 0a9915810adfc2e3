"""Voice activity in sound that comes in blocks, with bounded memory."""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from jaxtyping import Bool, Float, Float32

from serjax.audio import SAMPLE_RATE
from serjax.audio.mixing import mix
from serjax.audio.vad import CHUNK, FLOOR, FRAME, Activity, Network, frame_levels, load_silero

AROUND = 15.0
"""Seconds before and after a moment in which its loudest neighbour is looked for."""

BELOW_NEIGHBOURS, BELOW_LOUDEST = 30.0, 50.0
"""dB by which speech may be quieter than its loudest neighbour, and than the loudest moment until then: a long pause
has no speech in it to be compared with. Choices of our own; of RAVDESS clips of all loudness joined at random, 30 dB
agree with silero in 89 % of the time, the 20 dB of `serjax.audio.vad.by_energy`, which are for one clip, in 75 %."""


class Detector(Protocol):
    """Detection of speech in the samples of one channel, in pieces of 512."""

    def push(self, wave: Float32[np.ndarray, "t"]) -> Bool[np.ndarray, "n"]:
        """Take samples; return which of the next pieces are speech, as far as that is decided."""

    def finish(self) -> Bool[np.ndarray, "n"]:
        """Return which of the remaining pieces are speech; the last one may be shorter."""


class Energy:
    """Speech where the power is near that of the loudest frame around.

    A piece is speech where the power of the 2048 samples around it is less than `BELOW_NEIGHBOURS` dB under the loudest
    within `AROUND` seconds before and after, and less than `BELOW_LOUDEST` dB under the loudest from the beginning to
    `AROUND` seconds after. Digital silence is none.
    """

    def __init__(self) -> None:
        """Begin a recording."""
        self._wave = np.zeros(FRAME // 2, np.float32)
        self._levels = np.zeros(0)
        """Levels in dB of the frames that are still looked at."""
        self._decided = 0
        """Frames among those that are decided."""
        self._loudest = FLOOR
        """Level of the loudest frame before those."""
        self._samples = 0
        self._pieces = 0

    def push(self, wave: Float32[np.ndarray, "t"]) -> Bool[np.ndarray, "n"]:
        """Take samples; return which pieces are speech that lie `AROUND` seconds back."""
        self._samples += len(wave)
        self._add(wave)
        return self._decide(len(self._levels) - _FRAMES)

    def finish(self) -> Bool[np.ndarray, "n"]:
        """Return which of the remaining pieces are speech."""
        # The last frame reaches half of its length over the end, as the first one begins before the beginning.
        self._add(np.zeros(FRAME // 2, np.float32))
        left = -(-self._samples // CHUNK) - self._pieces
        return self._decide(len(self._levels))[:left]

    def _add(self, wave: Float32[np.ndarray, "t"]) -> None:
        self._wave = np.concatenate([self._wave, wave])
        levels = frame_levels(self._wave)
        self._wave = self._wave[CHUNK * len(levels) :]
        self._levels = np.concatenate([self._levels, levels])

    def _decide(self, until: int) -> Bool[np.ndarray, "n"]:
        """Decide the frames up to one of those that are looked at."""
        first, levels = self._decided, self._levels
        if until <= first:
            return np.zeros(0, bool)
        padded = np.pad(levels, _FRAMES, constant_values=FLOOR)
        around = np.lib.stride_tricks.sliding_window_view(padded, 2 * _FRAMES + 1)[first:until].max(1)
        reached = np.minimum(np.arange(first, until) + _FRAMES, len(levels) - 1)
        loudest = np.maximum(np.maximum.accumulate(levels)[reached], self._loudest)
        own = levels[first:until]
        active = (own > around - BELOW_NEIGHBOURS) & (own > loudest - BELOW_LOUDEST) & (own > FLOOR)
        gone = max(0, until - _FRAMES)
        self._loudest = max(self._loudest, levels[:gone].max(initial=FLOOR))
        self._levels, self._decided = levels[gone:], until - gone
        self._pieces += len(active)
        return active


_FRAMES = round(AROUND * SAMPLE_RATE / CHUNK)


def mark_speech(
    blocks: Iterator[Float32[np.ndarray, "t c"]], method: Activity, *, separate: bool, session: Any = None
) -> Iterator[Float32[np.ndarray, "t e"]]:
    """Yield blocks of sound with columns behind its channels that are 1 where there is speech and 0 elsewhere.

    Args:
        blocks: at 16 kHz.
        method: energy: `Energy`. silero: the network of silero-vad, whose state goes on from block to block; a piece is
            speech from a probability of 0.5 on.
        separate: a column for each channel; else one for their mix.
        session: the network, by default `serjax.audio.vad.load_silero()`.

    Raises:
        UserError: packages that silero needs are missing.
    """
    detectors: list[Detector] = []
    held: np.ndarray | None = None
    marks: list[np.ndarray] = []
    for block in blocks:
        heard = list(block.T) if separate else [mix(block).wave]
        if held is None:
            session = load_silero() if method == "silero" and session is None else session
            detectors = [Network(session) if method == "silero" else Energy() for _ in heard]
            held, marks = block[:0], [np.zeros(0, np.float32)] * len(heard)
        held = np.concatenate([held, block])
        pairs = zip(marks, detectors, heard, strict=True)
        marks = [_joined(own, one.push(wave)) for own, one, wave in pairs]
        ready = min(len(held), *map(len, marks))
        if ready:
            yield _beside(held[:ready], [one[:ready] for one in marks])
            held, marks = held[ready:], [one[ready:] for one in marks]
    if held is not None and len(held):
        marks = [_joined(own, one.finish())[: len(held)] for own, one in zip(marks, detectors, strict=True)]
        yield _beside(held, marks)


def _joined(marks: Float32[np.ndarray, "n"], pieces: Bool[np.ndarray, "k"]) -> Float32[np.ndarray, "m"]:
    """Return marks of samples, and behind them those of pieces."""
    return np.concatenate([marks, np.repeat(pieces.astype(np.float32), CHUNK)])


def _beside(sound: Float32[np.ndarray, "t c"], marks: list[Float[np.ndarray, "t"]]) -> Float32[np.ndarray, "t e"]:
    return np.concatenate([sound, np.stack(marks, 1)], 1)
