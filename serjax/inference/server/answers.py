"""Answers for decoded recordings, whose windows are batched with those of other requests."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from serjax.audio.stream import SoundStream
from serjax.inference.channels import Channels, Splitter
from serjax.inference.ensemble import Ensemble, Scores
from serjax.inference.segments import segments
from serjax.inference.server.batcher import Batcher
from serjax.inference.server.decoder import NAME, Decoded
from serjax.inference.timeline import Timeline, answer_waves, answer_windows, check_window
from serjax.inference.windows import cut, spread
from serjax.runtime.errors import UserError


@dataclass(frozen=True)
class Clip:
    """The answer for a recording as a whole.

    Attributes:
        scores: of all labels, the highest first.
        uncertainty: disagreement of the members; None where there is one.
        windows: how many stretches were answered, whose mean the scores are.
        seconds: length of the recording.
        notes: sentences on what was read.
    """

    scores: Scores
    uncertainty: float | None
    windows: int
    seconds: float
    notes: tuple[str, ...]


class Batched:
    """An ensemble as threads see it: its logits come from the batcher; all else is the ensemble's own."""

    def __init__(self, ensemble: Ensemble, batcher: Batcher, loop: asyncio.AbstractEventLoop) -> None:
        """Ask the batcher in its loop."""
        self._ensemble, self._batcher, self._loop = ensemble, batcher, loop
        self.ended = threading.Event()
        """Set where nobody waits for the answer any more."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ensemble, name)

    def logits(
        self, waves: Sequence[Float32[np.ndarray, "_"]], _longest: int | None = None
    ) -> Float[np.ndarray, "n k c"]:
        """Return the members' logits; lengths are those that are compiled already."""
        if self.ended.is_set():
            raise CancelledError
        return asyncio.run_coroutine_threadsafe(self._batcher.logits(waves), self._loop).result()


def answer_clip(ensemble: Ensemble | Batched, decoded: Decoded) -> Clip:
    """Return the answer for a recording as a whole, as `serjax.inference.files.answer` gives it for its file.

    Raises:
        UserError: it is too short, or scores are not finite.
    """
    facts = decoded.facts
    stream = _stream(decoded, decoded.sound)
    if len(decoded.mono):
        sample = ensemble.read((decoded.mono, 16_000))
        waves = ensemble.windows(sample)
        logits = ensemble.logits(waves, ensemble.longest)
        scores, doubts = ensemble.scoring.scores(logits), ensemble.scoring.disagreement(logits)
        if not np.isfinite(scores).all():
            raise UserError("the answers are not finite numbers: the weights are damaged.")
    else:
        longest, splitter = ensemble.longest, Splitter(stream, separate=False)
        starts = spread(len(decoded.sound), longest)
        if ensemble.long_clips == "head":
            starts = [0 if ensemble.crop == "head" else max(0, len(decoded.sound) - longest) // 2]
        waves = [splitter(window)[0].wave for window in cut(stream.blocks, starts, longest)]
        if not waves:
            raise UserError(f"{NAME}: it holds no samples; record it again.")
        parts = [answer_waves(ensemble, waves[at : at + 8], longest, NAME) for at in range(0, len(waves), 8)]  # type: ignore[arg-type]
        scores = np.concatenate([one[0] for one in parts])
        doubts = None if parts[0][1] is None else np.concatenate([one[1] for one in parts if one[1] is not None])
    notes = (*facts["notes"], *stream.notes)
    doubt = None if doubts is None else float(doubts.mean())
    return Clip(ensemble.ranked(scores.mean(0)), doubt, len(waves), facts["seconds"], notes)


def answer_timeline(
    ensemble: Ensemble | Batched, decoded: Decoded, window: float | None, hop: float | None, channels: Channels
) -> tuple[Timeline, tuple[str, ...]]:
    """Return the timeline of a recording, see `serjax.inference.timeline.answer_windows`, and notes on it.

    Raises:
        UserError: a window or hop that cannot be, or the recording is too short.
    """
    length, step = check_window(ensemble, window, hop)  # type: ignore[arg-type]
    stream = _stream(decoded, decoded.sound)
    rows = list(answer_windows(ensemble, stream, window, hop, channels))  # type: ignore[arg-type]
    timeline = Timeline(ensemble.labels, rows, length / 16_000, step / 16_000, ensemble.outputs)
    return timeline, tuple(stream.notes)


def _stream(decoded: Decoded, sound: Float32[np.ndarray, "t c"]) -> SoundStream:
    """Return decoded sound as a stream that is read once."""
    facts = decoded.facts
    blocks = (sound[at : at + 64_000] for at in range(0, len(sound), 64_000))
    return SoundStream(NAME, facts["rate"], sound.shape[1], facts["seconds"], blocks, len(sound))


def verbose(clip: Clip, timeline: Timeline, notes: Sequence[str]) -> dict[str, Any]:
    """Return an answer in the shape of OpenAI's verbose transcription, with what it has no place for beside it.

    A segment's text is its label, and avg_logprob the logarithm of its score.
    """
    rows = [
        {
            "start": row.start,
            "end": row.end,
            "channel": row.channel,
            "scores": {label: float(score) for label, score in zip(timeline.labels, row.score, strict=True)},
            "uncertainty": row.uncertainty,
        }
        for row in timeline.rows
    ]
    return {
        "task": "audio-classification",
        "language": "und",
        "duration": clip.seconds,
        "text": clip.scores[0]["label"],
        "segments": [_segment(number, *one) for number, one in enumerate(segments(timeline))],
        "scores": clip.scores,
        "uncertainty": clip.uncertainty,
        "labels": list(timeline.labels),
        "outputs": timeline.outputs,
        "window": timeline.window,
        "hop": timeline.hop,
        "windows": rows,
        "notes": [*dict.fromkeys((*clip.notes, *notes))],
    }


def _segment(number: int, start: float, end: float, label: str, score: float, channel: str | None) -> dict[str, Any]:
    """Return a segment with the fields that OpenAI's clients want, and its own."""
    unused = {"seek": 0, "tokens": [], "temperature": 0.0, "compression_ratio": 1.0, "no_speech_prob": 0.0}
    own = {"label": label, "score": score, "channel": channel}
    logarithm = float(np.log(max(score, 1e-12)))
    return {"id": number, "start": start, "end": end, "text": label, "avg_logprob": logarithm, **unused, **own}
