"""Segments of a timeline: scores smoothed over overlapping windows, and neighbouring windows of one label joined."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from serjax.inference.timeline import Timeline, WindowAnswer

LEAST_SPEECH = 0.2
"""Share of a window that must be speech for it to have a label, where voice activity is detected: 0.6 s of 3 s. A
choice of our own, not fitted to data, as are `MARGIN` and `PATIENCE`."""

MARGIN = 0.1
"""Lead in smoothed score by which another label begins a segment at once."""

PATIENCE = 3
"""Windows in a row in which another label must lead by less than `MARGIN` to begin a segment."""


class Segment(NamedTuple):
    """A stretch of a recording with one label.

    Attributes:
        start: in s.
        end: in s.
        label: of the highest smoothed score, with hysteresis.
        score: mean of the label's smoothed score over the windows of the segment.
        channel: as `WindowAnswer.channel`.
    """

    start: float
    end: float
    label: str
    score: float
    channel: str | None


def has_speech(row: WindowAnswer) -> bool:
    """Return True where a window holds enough speech for a label, or where voice activity is not detected."""
    return row.speech is None or row.speech >= LEAST_SPEECH


class Smoothed(NamedTuple):
    """A window's answer, and its smoothed scores.

    Attributes:
        row: the answer.
        score: Float[np.ndarray, "c"], smoothed.
    """

    row: WindowAnswer
    score: Float[np.ndarray, "c"]


class Smoother:
    """Triangular smoothing of the scores of windows that come one after the other.

    A window's smoothed score is the mean over all windows of its channel, each weighted by the sound that the two have
    in common (1, 2/3, 1/3 for windows of 3 s every second), times its share of speech where that is known. Windows that
    do not overlap with another stay as they are.
    """

    def __init__(self) -> None:
        """Begin a recording."""
        self._held: dict[str | None, deque[WindowAnswer]] = {}
        self._done: dict[str | None, int] = {}
        """Windows among those held that have been smoothed."""

    def push(self, row: WindowAnswer) -> list[Smoothed]:
        """Take a window; return those before it, of its channel, with which no later one overlaps."""
        held = self._held.setdefault(row.channel, deque())
        held.append(row)
        found = []
        done = self._done.get(row.channel, 0)
        while held[done].end <= row.start:
            found.append(Smoothed(held[done], _smooth(held, held[done])))
            done += 1
        while held[0].end <= held[done].start:
            held.popleft()
            done -= 1
        self._done[row.channel] = done
        return found

    def finish(self) -> list[Smoothed]:
        """Return the windows that were waiting for later ones, by their starts; the recording ends here."""
        rest = [
            Smoothed(row, _smooth(held, row))
            for channel, held in self._held.items()
            for row in list(held)[self._done[channel] :]
        ]
        self._held, self._done = {}, {}
        # A stable sort: at one time the channels stay in their order.
        return sorted(rest, key=lambda one: one.row.start)


def _smooth(rows: Iterable[WindowAnswer], middle: WindowAnswer) -> Float[np.ndarray, "c"]:
    """Return the mean score of the windows that overlap with one of them, weighted by overlap and speech."""
    weights, scores = [], []
    for row in rows:
        overlap = min(row.end, middle.end) - max(row.start, middle.start)
        weight = overlap * (1.0 if row.speech is None else row.speech)
        if weight > 0:
            weights.append(weight)
            scores.append(row.score)
    if not weights:
        return middle.score
    return np.average(scores, axis=0, weights=weights).astype(np.float32)


@dataclass
class _Open:
    """The segment of a channel that has not ended yet.

    Attributes:
        centre: of the channel's last window, in s; None before the first.
        end: of the channel's last window.
        label: index of the segment's label; None in a gap.
        start: of the segment.
        total: sum of the label's smoothed scores.
        count: windows of the segment.
        rival: index of the label that led in the last windows, by less than the margin.
        waiting: border before each such window, and its smoothed scores.
    """

    centre: float | None = None
    end: float = 0.0
    label: int | None = None
    start: float = 0.0
    total: float = 0.0
    count: int = 0
    rival: int = 0
    waiting: list[tuple[float, Float[np.ndarray, "c"]]] = field(default_factory=list)

    def add(self, scores: Iterable[Float[np.ndarray, "c"]]) -> None:
        """Count windows as the segment's."""
        for score in scores:
            self.total += float(score[self.label])
            self.count += 1

    def keep_waiting(self) -> None:
        """Give the windows in which another label led to the segment."""
        self.add(score for _, score in self.waiting)
        self.waiting = []


class Segmenter:
    """Segments from smoothed windows that come one after the other.

    The border between two windows lies in the middle between their centres; the first segment of a recording begins at
    0, the last one ends with it. A segment goes on until another label leads by `MARGIN`, or leads in `PATIENCE`
    windows in a row, and then ends where that label began to lead. Windows with less speech than `LEAST_SPEECH` are in
    no segment.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        """Begin a recording.

        Args:
            labels: names of the scores.
        """
        self.labels = labels
        self._open: dict[str | None, _Open] = {}

    def push(self, one: Smoothed) -> list[Segment]:
        """Take the next window of its channel; return the segment that ends before it, if one does."""
        row, score = one
        state = self._open.setdefault(row.channel, _Open())
        centre = (row.start + row.end) / 2
        border = 0.0 if state.centre is None else (state.centre + centre) / 2
        state.centre, state.end = centre, row.end
        if not has_speech(row):
            return self._close(row.channel, border)
        leader = int(np.argmax(score))
        if state.label is None:
            self._begin(state, leader, border, [score])
            return []
        if leader == state.label:
            state.keep_waiting()
            state.add([score])
            return []
        if leader != state.rival:
            state.keep_waiting()
        state.rival = leader
        state.waiting.append((border, score))
        if score[leader] - score[state.label] < MARGIN and len(state.waiting) < PATIENCE:
            return []
        borders, scores = zip(*state.waiting, strict=True)
        state.waiting = []
        ended = self._close(row.channel, borders[0])
        self._begin(state, leader, borders[0], scores)
        return ended

    def finish(self) -> list[Segment]:
        """Return the segments that last to the end of the recording, one a channel at most."""
        found = [one for channel, state in self._open.items() for one in self._close(channel, state.end)]
        self._open = {}
        return found

    def _begin(self, state: _Open, label: int, start: float, scores: Iterable[Float[np.ndarray, "c"]]) -> None:
        state.label, state.start, state.total, state.count = label, start, 0.0, 0
        state.add(scores)

    def _close(self, channel: str | None, end: float) -> list[Segment]:
        """End a channel's segment, if there is one."""
        state = self._open[channel]
        if state.label is None:
            return []
        state.keep_waiting()
        found = Segment(state.start, end, self.labels[state.label], state.total / state.count, channel)
        state.label = None
        return [found]


def smooth(rows: Iterable[WindowAnswer]) -> Iterator[Smoothed]:
    """Yield windows with their smoothed scores, each as soon as no later window overlaps with it; see `Smoother`.

    Args:
        rows: the windows in the order of their starts, as `answer_windows` yields them.
    """
    smoother = Smoother()
    for row in rows:
        yield from smoother.push(row)
    yield from smoother.finish()


def segments(timeline: Timeline) -> list[Segment]:
    """Return the segments of a timeline in the order of their starts; see `Segmenter`.

    Those of a channel do not overlap, and have no gaps but where there is no speech. There are none of models whose
    outputs are values (arousal, say) and no classes.
    """
    if timeline.outputs == "identity":
        return []
    segmenter = Segmenter(timeline.labels)
    found = [one for smoothed in smooth(timeline.rows) for one in segmenter.push(smoothed)]
    return sorted([*found, *segmenter.finish()], key=lambda one: one.start)
