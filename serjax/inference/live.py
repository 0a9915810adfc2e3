"""Live answers: a model's timeline while the sound comes, chunk by chunk."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import soxr
from jaxtyping import Float32, Shaped

from serjax.audio import SAMPLE_RATE
from serjax.audio.capture import Captured
from serjax.audio.decode import to_float
from serjax.audio.mixing import mix
from serjax.data.batching.lengths import bucket
from serjax.inference.timeline import WindowAnswer, answer_waves, check_window
from serjax.inference.windows import Window
from serjax.runtime.errors import UserError
from serjax.runtime.progress import progress_bar

if TYPE_CHECKING:
    from serjax.inference.ensemble import Ensemble

MOST_CHANNELS = 32
"""More are taken for samples: chunks are [samples, channels]."""

_SOURCE = "the live sound"


class LiveStream:
    """Answers for windows that slide over sound, while it comes.

    The windows are those of `Ensemble.timeline`, with the same answers, each given as soon as its last sample is there.
    Before the first of them is full there are early ones, which begin with the sound and end after every hop.

    Attributes:
        labels: names of the scores.
        window: length of a window, in s.
        hop: from one to the next, in s.
        seconds: of sound that have come since it began.
    """

    def __init__(
        self, ensemble: "Ensemble", rate: float, window: float | None = None, hop: float | None = None
    ) -> None:
        """Begin with silence before 0 s.

        Args:
            ensemble: the model.
            rate: of the chunks, in Hz.
            window: length in s; by default the longest that the model hears, of a published classifier 3 s.
            hop: from one window to the next, in s, at most `window`; by default 1 s, or a shorter window.

        Raises:
            UserError: a model that takes video; or a rate, window or hop that cannot be.
        """
        if not (math.isfinite(rate) and rate > 0):
            raise UserError(f"rate: got {rate}; give a positive number of Hz.")
        self._ensemble, self._rate = ensemble, float(rate)
        self._window, self._hop = check_window(ensemble, window, hop)
        self.labels = ensemble.labels
        self.window, self.hop = self._window / SAMPLE_RATE, self._hop / SAMPLE_RATE
        self._begin()

    def _begin(self) -> None:
        self._channels: int | None = None
        self._resampler: soxr.ResampleStream | None = None
        self._held = np.zeros((0, 0), np.float32)
        self._given = 0  # samples that were pushed
        self._at = self._total = 0  # place of what is held, and samples at 16 kHz that have come
        self._next = self._end = (
            0  # first sample of the next full window, and where the last window that was given ends
        )

    @property
    def seconds(self) -> float:
        """Length of the sound that has come."""
        return self._total / SAMPLE_RATE

    def push(self, samples: Shaped[np.ndarray, "t *c"]) -> list[WindowAnswer]:
        """Return the answers for the windows that a chunk of any length completes.

        Args:
            samples: [t], or [t c] whose channels are averaged; floats in -1..1, or integers that use their type's full
                range.

        Raises:
            UserError: another shape or type, another number of channels than before, or samples that are not finite.
        """
        return self.answer(self.feed(samples))

    def flush(self) -> list[WindowAnswer]:
        """Return the answer for the last window, which ends with the sound, unless it is there; then begin anew.

        Sound that is shorter than a window is answered as a whole, unless it is too short for the model.

        Raises:
            UserError: scores that are not finite.
        """
        return self.answer(self.finish())

    def answer(self, windows: Sequence[Window]) -> list[WindowAnswer]:
        """Return the answers for some windows.

        Raises:
            UserError: scores that are not finite, or a window that is too short for the model without its silence.
        """
        if not windows:
            return []
        waves = [mix(window.wave.T).wave for window in windows]
        scores, doubts, _ = answer_waves(self._ensemble, waves, self._window, _SOURCE)
        ends = [window.start + window.wave.shape[1] for window in windows]
        return [
            WindowAnswer(window.start / SAMPLE_RATE, end / SAMPLE_RATE, None, scores[row], doubt)
            for row, (window, end, doubt) in enumerate(
                zip(windows, ends, [None] * len(ends) if doubts is None else doubts.tolist(), strict=True)
            )
        ]

    def feed(self, samples: Shaped[np.ndarray, "t *c"]) -> list[Window]:
        """Take a chunk and return the windows that it completes, without asking the model; see `push`."""
        chunk = self._checked(np.asarray(samples))
        if self._rate != SAMPLE_RATE:
            if self._resampler is None:
                self._resampler = soxr.ResampleStream(
                    self._rate, SAMPLE_RATE, chunk.shape[1], dtype="float32", quality="HQ"
                )
            chunk = self._resampler.resample_chunk(chunk)
        return self._windows(chunk)

    def finish(self) -> list[Window]:
        """End the sound and return the window that ends with it, without asking the model; see `flush`."""
        found: list[Window] = []
        if self._resampler is not None:
            rest = np.zeros((0, self._channels or 1), np.float32)
            found = self._windows(self._resampler.resample_chunk(rest, last=True))
        if self._end < self._total and self._total >= self._ensemble.min_samples:
            first = max(0, self._total - self._window)
            found.append(Window(first, self._held[first - self._at :].T))
        self._begin()
        return found

    def warm_up(self) -> None:
        """Compile what single windows need, so that no answer waits for it: one program a length they are padded to."""
        # Without silence a window may have any length.
        step = self._hop if self._ensemble.vad == "none" else min(self._hop, SAMPLE_RATE // 10)
        lengths = sorted(
            {min(bucket(length), self._window) for length in (*range(step, self._window, step), self._window)}
        )
        with progress_bar("lengths") as bar:
            task = bar.add_task("compiling", total=len(lengths), rate="")
            for length in lengths:
                silence = np.zeros(max(length, self._ensemble.min_samples), np.float32)
                self._ensemble.logits([silence], self._window)
                bar.advance(task)

    def _checked(self, samples: Shaped[np.ndarray, "..."]) -> Float32[np.ndarray, "t c"]:
        """Return a chunk as float32 with its channels."""
        if samples.ndim not in (1, 2) or (samples.ndim == 2 and not 1 <= samples.shape[1] <= MOST_CHANNELS):
            raise UserError(
                f"{_SOURCE}: a chunk has the shape {list(samples.shape)}; give [samples], or [samples, channels] of at "
                f"most {MOST_CHANNELS} channels."
            )
        channels = 1 if samples.ndim == 1 else samples.shape[1]
        if self._channels not in (None, channels):
            raise UserError(f"{_SOURCE}: a chunk has {channels} channels, those before {self._channels}; give as many.")
        # Checked one by one: a chunk may have fewer samples than channels.
        chunk = to_float(samples.reshape(-1), _SOURCE).reshape(len(samples), channels)
        bad = np.flatnonzero(~np.isfinite(chunk).all(1))
        if len(bad):
            raise UserError(
                f"{_SOURCE}: samples from {(self._given + bad[0]) / self._rate:.3f} s are NaN or infinite; give "
                "finite ones."
            )
        self._channels, self._given = channels, self._given + len(chunk)
        return chunk

    def _windows(self, chunk: Float32[np.ndarray, "t c"]) -> list[Window]:
        """Take samples at 16 kHz and return the windows that they complete; one window before the end is kept."""
        found: list[Window] = []
        held = self._held if self._held.shape[1] else np.zeros((0, chunk.shape[1]), np.float32)
        self._held = np.concatenate([held, chunk])  # a copy: the caller may use its buffer again
        self._total += len(chunk)
        early = self._end + self._hop
        while early < self._window and early <= self._total:
            if early >= self._ensemble.min_samples:
                found.append(Window(0, self._held[:early].T))
            self._end, early = early, early + self._hop
        while self._next + self._window <= self._total:
            first = self._next - self._at
            found.append(Window(self._next, self._held[first : first + self._window].T))
            self._next, self._end = self._next + self._hop, self._next + self._window
        spare = min(self._next, self._total - self._window) - self._at
        if spare > 0:
            self._held, self._at = self._held[spare:], self._at + spare
        return found


class LiveAnswer(NamedTuple):
    """An answer while the sound goes on.

    Attributes:
        answer: for the newest window.
        delay: from its last sample to the answer, in s.
        skipped: windows before it that were left out, since the model was not done with the one before them.
        level: RMS of what the window has new, in dB below full scale; minus infinity for digital silence.
        lost: times that the device dropped samples since the answer before.
    """

    answer: WindowAnswer
    delay: float
    skipped: int
    level: float
    lost: int


def follow(
    stream: LiveStream, sound: Iterable[Captured], clock: Callable[[], float] = time.monotonic
) -> Iterator[LiveAnswer]:
    """Yield the answer for the newest window whenever there is one; of several that have waited the others are skipped.

    Args:
        stream: the model's.
        sound: as it is captured.
        clock: tells s, as that of the capture does.

    Raises:
        UserError: as `LiveStream.push`, or the sound's own.
    """
    at, lost = clock(), 0
    for piece in sound:
        at, lost = piece.at, lost + piece.lost
        windows = stream.feed(piece.samples)
        if windows:
            yield _newest(stream, windows, at, stream.seconds, lost, clock)
            lost = 0
    seconds = stream.seconds
    if windows := stream.finish():
        yield _newest(stream, windows, at, seconds, lost, clock)


def _newest(
    stream: LiveStream, windows: Sequence[Window], at: float, seconds: float, lost: int, clock: Callable[[], float]
) -> LiveAnswer:
    """Return the answer for the last of some windows, where the sound was `seconds` long at the time `at`."""
    *left, newest = windows
    (answer,) = stream.answer([newest])
    new = newest.wave[:, -round(stream.hop * SAMPLE_RATE) :].astype(np.float64)
    power = float(np.mean(np.square(new)))
    level = 10 * math.log10(power) if power > 0 else -math.inf
    return LiveAnswer(answer, clock() - (at - max(0.0, seconds - answer.end)), len(left), level, lost)
