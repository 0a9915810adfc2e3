"""A recording's timeline as it is computed: windows and segments handed on, curves gathered for a picture."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float32

from serjax.audio import SAMPLE_RATE
from serjax.audio.mixing import mix
from serjax.audio.stream import SoundStream
from serjax.audio.vad import Activity
from serjax.evaluation.timeline_curves import Envelope, Panel, ScoreCurve
from serjax.inference.channels import Channels
from serjax.inference.ensemble import Ensemble
from serjax.inference.segments import Segment, Segmenter, Smoothed, Smoother
from serjax.inference.timeline import answer_windows, has_speech


@dataclass
class Recording:
    """A recording that is being answered.

    Attributes:
        segments: those that have ended, in the order of their ends; none of models of values.
        seconds: end of the last window that was answered.
        panels: of the picture, when all is done; none where no curves were asked for.
    """

    segments: list[Segment] = field(default_factory=list)
    seconds: float = 0.0
    panels: list[Panel] = field(default_factory=list)


def follow(
    ensemble: Ensemble,
    stream: SoundStream,
    recording: Recording,
    take: Callable[[Smoothed], Any],
    tell: Callable[[float], Any],
    *,
    window: float | None = None,
    hop: float | None = None,
    channels: Channels = "mix",
    vad: Activity = "none",
    curves: bool = False,
) -> None:
    """Answer a recording, and hand on what is known of it as soon as it is.

    Whatever ends it before its time (Ctrl-C, a file that breaks off), `take` gets all windows that were answered, and
    `recording` is complete up to there.

    Args:
        ensemble: the model.
        stream: the recording, open.
        recording: gets the segments.
        take: called with each window, as soon as it is smoothed.
        tell: called with the seconds that are done.
        window: see `answer_windows`, as for the others.
        hop: see there.
        channels: see there.
        vad: see there.
        curves: gather those of a picture too.
    """
    smoother, segmenter = Smoother(), Segmenter(ensemble.labels)
    separate = channels == "separate" and stream.channels > 1
    gathered = _Curves(len(ensemble.labels), stream.channels if separate else 1) if curves else None
    if gathered is not None:
        stream = replace(stream, blocks=gathered.watch(stream.blocks))

    def hand_on(found: list[Smoothed]) -> None:
        for one in found:
            take(one)
            if ensemble.outputs != "identity":
                recording.segments += segmenter.push(one)
            if gathered is not None:
                gathered.push(one)

    try:
        for row in answer_windows(ensemble, stream, window, hop, channels, vad):
            recording.seconds = row.end
            hand_on(smoother.push(row))
            tell(row.end)
    finally:
        hand_on(smoother.finish())
        recording.segments += segmenter.finish()
        recording.segments.sort(key=lambda one: one.start)
        if gathered is not None:
            recording.panels = gathered.panels(recording)


class _Curves:
    """Curves of a picture, a panel for each channel."""

    def __init__(self, classes: int, channels: int) -> None:
        self._envelope = Envelope(channels)
        self._channels, self._classes = channels, classes
        self._scores: dict[str | None, ScoreCurve] = {}

    def watch(self, blocks: Iterator[Float32[np.ndarray, "t c"]]) -> Iterator[Float32[np.ndarray, "t c"]]:
        """Hand blocks on."""
        for block in blocks:
            self._envelope.push(block if self._channels > 1 else mix(block).wave[:, None])
            yield block

    def push(self, one: Smoothed) -> None:
        """Take a window."""
        row = one.row
        curve = self._scores.setdefault(row.channel, ScoreCurve(self._classes))
        curve.push((row.start + row.end) / 2, one.score if has_speech(row) else None)

    def panels(self, recording: Recording) -> list[Panel]:
        """Return a panel for each channel."""
        low, high = self._envelope.curves()
        step = self._envelope.step / SAMPLE_RATE
        return [
            Panel(
                channel,
                step,
                low[:, number],
                high[:, number],
                *curve.curves(),
                [(one.start, one.end, one.label) for one in recording.segments if one.channel == channel],
            )
            for number, (channel, curve) in enumerate(self._scores.items())
        ]
