"""Curves for pictures of recordings: a few thousand points, however many samples and windows there are."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float32

POINTS = 4096
"""Points of a curve, at most; a picture is about half as many pixels wide."""


class Panel(NamedTuple):
    """One channel of a recording.

    Attributes:
        name: above it; None where there is but one.
        step: seconds of each stretch of the envelope.
        low: Float[np.ndarray, "m"], lowest sample of each stretch, in -1..1.
        high: Float[np.ndarray, "m"], highest.
        times: Float[np.ndarray, "n"], of the scores, in s.
        scores: Float[np.ndarray, "n c"]; NaN in gaps.
        bands: start and end in s and the label of each segment.
    """

    name: str | None
    step: float
    low: Float[np.ndarray, "m"]
    high: Float[np.ndarray, "m"]
    times: Float[np.ndarray, "n"]
    scores: Float[np.ndarray, "n c"]
    bands: Sequence[tuple[float, float, str]]


class Envelope:
    """Lowest and highest sample of equal stretches of a recording.

    Where stretches get too many, each two neighbours become one.
    """

    def __init__(self, channels: int = 1, points: int = POINTS) -> None:
        """Begin a recording.

        Args:
            channels: how many there are.
            points: stretches that the result has at most; an even number.
        """
        self.step = 1
        """Samples of a stretch."""
        self._samples = 0
        self._low = np.full((points, channels), np.inf, np.float32)
        self._high = -self._low

    def push(self, block: Float32[np.ndarray, "t c"]) -> None:
        """Take the next samples."""
        end = self._samples + len(block)
        while end > self.step * len(self._low):
            self._low = _folded(self._low, np.minimum, np.inf)
            self._high = _folded(self._high, np.maximum, -np.inf)
            self.step *= 2
        if not len(block):
            return
        first, last = self._samples // self.step, (end - 1) // self.step
        starts = np.maximum(np.arange(first, last + 1) * self.step - self._samples, 0)
        here = slice(first, last + 1)
        self._low[here] = np.minimum(self._low[here], np.minimum.reduceat(block, starts))
        self._high[here] = np.maximum(self._high[here], np.maximum.reduceat(block, starts))
        self._samples = end

    def curves(self) -> tuple[Float32[np.ndarray, "n c"], Float32[np.ndarray, "n c"]]:
        """Return the lowest and the highest sample of each stretch; the last one may be shorter."""
        count = -(-self._samples // self.step)
        return self._low[:count], self._high[:count]


class ScoreCurve:
    """Mean scores of equal numbers of windows of a recording, by the mean of their times.

    Where points get too many, each two neighbours become one.
    """

    def __init__(self, classes: int, points: int = POINTS) -> None:
        """Begin a recording.

        Args:
            classes: scores of a window.
            points: that the result has at most; an even number.
        """
        self._every, self._windows = 1, 0
        # Sums: of times, of windows, of those with scores, of scores.
        self._sums = np.zeros((points, 3 + classes))

    def push(self, time: float, score: Float[np.ndarray, "c"] | None) -> None:
        """Take the next window: its centre in s, and its scores; None for a gap."""
        if self._windows >= self._every * len(self._sums):
            self._sums = _folded(self._sums, np.add, 0)
            self._every *= 2
        row = self._sums[self._windows // self._every]
        row[:2] += time, 1
        if score is not None:
            row[2] += 1
            row[3:] += score
        self._windows += 1

    def curves(self) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n c"]]:
        """Return times and scores; NaN where none of a point's windows has scores."""
        sums = self._sums[: -(-self._windows // self._every)]
        scored = sums[:, 2:3]
        mean = np.divide(sums[:, 3:], scored, out=np.full_like(sums[:, 3:], np.nan), where=scored > 0)
        return sums[:, 0] / sums[:, 1], mean


def _folded(values: Float[np.ndarray, "n c"], join: Any, empty: float) -> Float[np.ndarray, "n c"]:
    """Return an array whose first half is each two neighbours joined, and whose second half is empty."""
    found = np.full_like(values, empty)
    found[: len(values) // 2] = join(values[0::2], values[1::2])
    return found
