"""Timelines: the answers of a model for windows that slide over a recording of any length."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float, Shaped

from serjax.audio import SAMPLE_RATE
from serjax.audio.stream import SoundStream, open_stream
from serjax.checkpoints.bundle import Outputs
from serjax.inference.batched import BATCH
from serjax.inference.windows import LONGEST, Window, slide
from serjax.runtime.errors import UserError

if TYPE_CHECKING:
    from serjax.inference.ensemble import Ensemble

DEFAULT_WINDOW, DEFAULT_HOP = 3.0, 1.0
"""Seconds of a window where a published classifier sets no length, and from one to the next."""

Channels = Literal["mix", "separate"]
"""Channels of a recording: their mean is answered, or each for itself."""

Sound = str | Path | tuple[Shaped[np.ndarray, "t *c"], int | float]
"""A path or URL, or samples [t] or [t c] with their rate in Hz."""


class WindowAnswer(NamedTuple):
    """The answer for one window.

    Attributes:
        start: of the window, in s.
        end: in s.
        channel: left, right, or the channel's number from 1; None for the mean of all.
        score: Float[np.ndarray, "c"], of the labels in their order.
        uncertainty: disagreement of the members, see `serjax.inference.scores.Scoring.disagreement`; None where there
            is one member.
        speech: share of the window that is speech, 0 to 1; None where voice activity is not detected.
    """

    start: float
    end: float
    channel: str | None
    score: Float[np.ndarray, "c"]
    uncertainty: float | None
    speech: float | None = None


@dataclass(frozen=True)
class Timeline:
    """The answers for all windows of a recording, in the order of their starts.

    Attributes:
        labels: names of the scores.
        rows: answers of the windows; those of several channels at one time follow each other.
        window: length of a window, in s.
        hop: from one to the next, in s.
        outputs: of the model; softmax and sigmoid: probabilities of classes. identity: values.
    """

    labels: tuple[str, ...]
    rows: Sequence[WindowAnswer]
    window: float
    hop: float
    outputs: Outputs = "softmax"


def answer_windows(
    ensemble: "Ensemble",
    stream: SoundStream,
    window: float | None = None,
    hop: float | None = None,
    channels: Channels = "mix",
) -> Iterator[WindowAnswer]:
    """Yield the answers for the windows of a recording, as they come.

    Args:
        ensemble: the model.
        stream: the recording, open.
        window: length in s; by default the longest that the model hears, of a published classifier 3 s.
        hop: from one window to the next, in s, at most `window`; by default 1 s, or the window where that is shorter.
        channels: what is answered of a recording with several.

    Raises:
        UserError: a window or hop that cannot be; a model that takes video; or the recording cannot be decoded.
    """
    length, step = check_window(ensemble, window, hop)
    if channels not in get_args(Channels):
        raise UserError(f"channels: got {channels!r}; give {' or '.join(get_args(Channels))}.")
    separate = channels == "separate" and stream.channels > 1
    names = channel_names(stream.channels) if separate else [None]
    blocks = stream.blocks if separate else (block.mean(1, keepdims=True) for block in stream.blocks)
    coming = slide(blocks, length, step)
    found = False
    while some := list(islice(coming, BATCH)):
        found = True
        yield from _answered(ensemble, some, names, stream.source)
    if not found:
        raise UserError(f"{stream.source}: it holds no samples; record it again.")


def _answered(
    ensemble: "Ensemble", windows: Sequence[Window], names: Sequence[str | None], source: str
) -> Iterator[WindowAnswer]:
    """Yield the answers for some windows."""
    waves = [ensemble.prepare(row) for window in windows for row in window.wave]
    least = ensemble.min_samples
    short = next((len(wave) for wave in waves if len(wave) < least), None)
    if short is not None:
        raise UserError(f"{source}: it has {short} samples at 16 kHz, but the model's first frame takes {least}.")
    logits = ensemble.logits(waves)
    scores, disagreement = ensemble.scoring.scores(logits), ensemble.scoring.disagreement(logits)
    for row, (window, name) in enumerate((window, name) for window in windows for name in names):
        end = window.start + window.wave.shape[1]
        doubt = None if disagreement is None else float(disagreement[row])
        yield WindowAnswer(window.start / SAMPLE_RATE, end / SAMPLE_RATE, name, scores[row], doubt)


def check_window(ensemble: "Ensemble", window: float | None, hop: float | None) -> tuple[int, int]:
    """Return the length of a window and the hop in samples.

    Raises:
        UserError: the models take video, or do not hear so long or so short a window; or the hop is longer than it.
    """
    if "video" in ensemble.modalities:
        raise UserError("a timeline is made of sound alone, but this model takes video; give a model of sound.")
    seconds = window if window is not None else ensemble.max_seconds or DEFAULT_WINDOW
    least = ensemble.min_samples / SAMPLE_RATE
    if not least <= seconds <= (ensemble.max_seconds or LONGEST):
        raise UserError(
            f"window: got {seconds:g} s; this model hears {least:g} to {ensemble.max_seconds or LONGEST:g} s."
        )
    step = hop if hop is not None else min(DEFAULT_HOP, seconds)
    if not 1 / SAMPLE_RATE <= step <= seconds:
        raise UserError(f"hop: got {step:g} s; give more than 0 and at most the window of {seconds:g} s.")
    return round(seconds * SAMPLE_RATE), round(step * SAMPLE_RATE)


def channel_names(count: int) -> list[str]:
    """Return the names of the channels of a recording."""
    return ["left", "right"] if count == 2 else [f"{number}" for number in range(1, count + 1)]


def timeline(
    ensemble: "Ensemble",
    sound: Sound,
    window: float | None = None,
    hop: float | None = None,
    channels: Channels = "mix",
) -> Timeline:
    """Return the timeline of a recording; see `answer_windows`.

    Raises:
        UserError: see `answer_windows` and `serjax.audio.stream.open_stream`.
    """
    length, step = check_window(ensemble, window, hop)
    with open_stream(sound) as stream:
        rows = list(answer_windows(ensemble, stream, window, hop, channels))
    return Timeline(ensemble.labels, rows, length / SAMPLE_RATE, step / SAMPLE_RATE, ensemble.outputs)
