"""Timelines: the answers of a model for windows that slide over a recording of any length."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import numpy as np
from jaxtyping import Float, Float32, Shaped

from serjax.audio import SAMPLE_RATE
from serjax.audio.stream import SoundStream, open_stream
from serjax.audio.vad import Activity
from serjax.audio.vad_stream import mark_speech
from serjax.checkpoints.bundle import Outputs
from serjax.inference.batched import windows_a_call
from serjax.inference.channels import Channels, Splitter
from serjax.inference.windows import LONGEST, slide
from serjax.runtime.errors import UserError

if TYPE_CHECKING:
    from serjax.inference.ensemble import Ensemble

DEFAULT_WINDOW, DEFAULT_HOP = 3.0, 1.0
"""Seconds of a window where a published classifier sets no length, and from one to the next."""

LEAST_SPEECH = 0.2
"""Share of a window that must be speech for it to have a label, where voice activity is detected: 0.6 s of 3 s. A
choice of our own, not fitted to data."""

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


def has_speech(row: WindowAnswer) -> bool:
    """Return True where a window holds enough speech for a label, or where voice activity is not detected."""
    return row.speech is None or row.speech >= LEAST_SPEECH


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

    def table(self) -> dict[str, list[Any]]:
        """Return the windows as columns, which `pandas.DataFrame` takes.

        They are start, end, channel, label (of the highest score; None without speech, and of models of values),
        uncertainty, speech, and a score a class.
        """
        rows = self.rows
        labelled = [self.outputs != "identity" and has_speech(row) for row in rows]
        pairs = zip(rows, labelled, strict=True)
        return {
            "start": [row.start for row in rows],
            "end": [row.end for row in rows],
            "channel": [row.channel for row in rows],
            "label": [self.labels[int(row.score.argmax())] if there else None for row, there in pairs],
            "uncertainty": [row.uncertainty for row in rows],
            "speech": [row.speech for row in rows],
            **{label: [float(row.score[place]) for row in rows] for place, label in enumerate(self.labels)},
        }


def answer_windows(
    ensemble: "Ensemble",
    stream: SoundStream,
    window: float | None = None,
    hop: float | None = None,
    channels: Channels = "mix",
    vad: Activity = "none",
) -> Iterator[WindowAnswer]:
    """Yield the answers for the windows of a recording, as they come.

    Args:
        ensemble: the model.
        stream: the recording, open; its notes are told in it.
        window: length in s; by default the longest that the model hears, of a published classifier 3 s.
        hop: from one window to the next, in s, at most `window`; by default 1 s, or the window where that is shorter.
        channels: what is answered of a recording with several.
        vad: how the share of speech in each window is found; none: it is not.

    Raises:
        UserError: a window or hop that cannot be; a model that takes video; or the recording cannot be decoded.
    """
    length, step = check_window(ensemble, window, hop)
    for name, value, known in (("channels", channels, Channels), ("vad", vad, Activity)):
        if value not in get_args(known):
            raise UserError(f"{name}: got {value!r}; give {' or '.join(get_args(known))}.")
    separate = channels == "separate" and stream.channels > 1
    blocks = stream.blocks if vad == "none" else mark_speech(stream.blocks, vad, separate=separate)
    splitter = Splitter(stream, separate=separate)
    coming = slide(blocks, length, step)
    size = windows_a_call(length)
    first = True
    while some := list(islice(coming, max(1, size // stream.channels if separate else size))):
        parts = [(one, part) for one in some for part in splitter(one)]
        # What is left at the end is filled up to a whole call, which is compiled already.
        spare = 0 if first else -len(parts) % size
        waves = [part.wave for _, part in parts]
        scores, doubts, _ = answer_waves(ensemble, waves + waves[:1] * spare, length, stream.source)
        for row, (one, part) in enumerate(parts):
            start, end = one.start / SAMPLE_RATE, (one.start + one.wave.shape[1]) / SAMPLE_RATE
            doubt = None if doubts is None else float(doubts[row])
            yield WindowAnswer(start, end, part.channel, scores[row], doubt, part.speech)
        first = False
    if first:
        raise UserError(f"{stream.source}: it holds no samples; record it again.")


def answer_waves(
    ensemble: "Ensemble", waves: Sequence[Float32[np.ndarray, "_"]], longest: int, source: str
) -> tuple[Float[np.ndarray, "n c"], Float[np.ndarray, "n"] | None, Float[np.ndarray, "n k c"]]:
    """Return the scores of windows at 16 kHz, the members' disagreement (None where there is one), and their scores.

    Args:
        ensemble: the model.
        waves: as they were recorded: they are filtered, and trimmed where the model was trained so.
        longest: samples of a window.
        source: what a message calls the recording.

    Raises:
        UserError: a window is too short, or scores are not finite.
    """
    prepared = [ensemble.prepare(wave) for wave in waves]
    least = ensemble.min_samples
    short = next((len(wave) for wave in prepared if len(wave) < least), None)
    if short is not None:
        raise UserError(f"{source}: it has {short} samples at 16 kHz, but the model's first frame takes {least}.")
    logits = ensemble.logits(prepared, longest)
    scores = ensemble.scoring.scores(logits)
    if not np.isfinite(scores).all():
        raise UserError("the answers are not finite numbers: the weights are damaged; train or fetch them again.")
    return scores, ensemble.scoring.disagreement(logits), ensemble.scoring.members(logits)


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


def timeline(
    ensemble: "Ensemble",
    sound: Sound,
    window: float | None = None,
    hop: float | None = None,
    channels: Channels = "mix",
    vad: Activity = "none",
) -> Timeline:
    """Return the timeline of a recording; see `answer_windows`.

    Raises:
        UserError: see `answer_windows` and `serjax.audio.stream.open_stream`. What else is to be said of the recording
            are warnings.
    """
    length, step = check_window(ensemble, window, hop)
    with open_stream(sound) as stream:
        rows = list(answer_windows(ensemble, stream, window, hop, channels, vad))
    for note in stream.notes:
        warnings.warn(note, stacklevel=3)
    return Timeline(ensemble.labels, rows, length / SAMPLE_RATE, step / SAMPLE_RATE, ensemble.outputs)
