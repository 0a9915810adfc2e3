"""Metadata of one recording."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Utterance:
    """One labelled stretch of one sound file, and of the video that goes with it where there is one.

    Attributes:
        id: unique within its corpus, stable across machines (a path below the corpus root, or a list's key).
        path: the sound file, or a video with sound.
        label: the emotion, as the corpus or its label map calls it.
        speaker: who speaks, where the corpus says so; folds are kept speaker-disjoint by it.
        session: the recording session, where the corpus has such a thing (IEMOCAP).
        start: where the stretch begins in the file, in seconds.
        end: where it ends, in seconds; None means the end of the file.
        video: the file with the pictures, of the same stretch; it may be the one at `path`.
        text: the sentence, or its code, where the corpus has one; equal for clips of the same sentence.
        attributes: of the speaker, such as (("gender", "female"), ("age", "20-29")); groups of a report.
        values: named values on the corpus's own scale, such as (("arousal", 3.2), ("valence", 4.0)).
        votes: labels that annotators gave, each once, with the number or share of them, such as (("sad", 3.0),
            ("neutral", 2.0)).
    """

    id: str
    path: Path
    label: str
    speaker: str | None = None
    session: str | None = None
    start: float = 0.0
    end: float | None = None
    video: Path | None = None
    text: str | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    values: tuple[tuple[str, float], ...] = ()
    votes: tuple[tuple[str, float], ...] = ()


def values_by_name(clips: Iterable[Utterance]) -> Mapping[str, list[float]]:
    """Return the finite values of all clips that have one, by their names."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for clip in clips:
        for name, value in clip.values:
            if math.isfinite(value):
                found[name].append(value)
    return found
