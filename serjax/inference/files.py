"""Answers for many clips, some of which may be unreadable."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from serjax.audio import SAMPLE_RATE
from serjax.audio.vad import Activity
from serjax.data.store.decoded import content_hash
from serjax.inference.batched import BATCH
from serjax.inference.ensemble import Ensemble, Scores
from serjax.inference.inputs import Clip, Sample
from serjax.inference.long_files import Progress, Whole, answer_long, is_long
from serjax.runtime.errors import MissingPackage, UserError

CHUNK = 32 * BATCH
"""Clips that are read before they are answered; memory holds no more."""


class Answer(NamedTuple):
    """An ensemble's answer for one clip.

    Attributes:
        scores: of all emotions, the highest first; none where the clip cannot be read.
        rate: of its sound, in Hz; None where it cannot be read.
        notes: sentences about what was read, or why it cannot be.
        heard: stretch of its sound that the models heard, in s; None where it cannot be read.
        windows: how many stretches of it were answered, whose mean the scores are.
        length: of its sound without the silence that is left out, in s.
        offset: DC offset as a share of its RMS.
        uncertainty: disagreement of the members, see `serjax.inference.scores.Scoring.disagreement`; None where there
            is one member.
        set: labels that hold the true one with the coverage that was asked for, the most probable first; None where no
            coverage was.
        digest: hash of its samples, as a run's folds.json has them; None where there are none.
    """

    scores: Scores
    rate: int | None
    notes: tuple[str, ...]
    heard: float | None = None
    windows: int = 1
    length: float = 0.0
    offset: float = 0.0
    digest: str | None = None
    uncertainty: float | None = None
    set: tuple[str, ...] | None = None


def answer(
    ensemble: Ensemble,
    clips: Iterable[Clip],
    coverage: float | None = None,
    vad: Activity = "none",
    progress: Progress | None = None,
) -> Iterator[Answer]:
    """Yield the answer for each clip, in their order.

    Args:
        ensemble: the models.
        clips: what is answered. Sound files of more than a minute are read window by window.
        coverage: of the sets of labels, see `Ensemble.answers_with_sets`; None for none.
        vad: weighs the windows of a file by their speech, see `answer_long`.
        progress: called as windows of a long file are done.

    Raises:
        UserError: there can be no sets of this coverage.
    """
    if coverage is not None:
        ensemble.check_coverage(coverage)
    waiting = iter(clips)
    while some := list(itertools.islice(waiting, CHUNK)):
        samples: list[Sample] = []
        answers: list[tuple[Clip, Answer]] = []
        for clip in some:
            try:
                if isinstance(clip, (str, Path)) and is_long(ensemble, clip, vad):
                    answers.append((clip, _of_whole(ensemble, answer_long(ensemble, clip, vad, progress), coverage)))
                    continue
                sample = ensemble.read(clip)
                answers.append((clip, _read(ensemble, clip, sample)))
                samples.append(sample)
            except MissingPackage:
                raise
            except UserError as error:
                answers.append((clip, Answer([], None, (str(error),))))
            except Exception as error:  # of a library that a damaged file has led astray: no other file's concern
                name = clip if isinstance(clip, (str, Path)) else "the clip"
                said = f"{name}: it cannot be read ({type(error).__name__}: {error}); convert it to FLAC or WAV."
                answers.append((clip, Answer([], None, (said,))))
        found = iter(_answered(ensemble, samples, coverage))
        for clip, one in answers:
            if one.rate is None or one.scores:
                yield one
                continue
            answered = next(found)
            if isinstance(answered, UserError):
                name = f"{clip}: " if isinstance(clip, (str, Path)) else ""
                yield Answer([], None, (f"{name}{answered}",))
                continue
            score, doubt, held = answered
            ranked = ensemble.ranked(score)
            chosen = None if held is None else _set(ensemble, ranked, held)
            yield one._replace(scores=ranked, uncertainty=doubt, set=chosen)


class _Answered(NamedTuple):
    """Scores of a clip, how much the members disagree, and the labels of its set."""

    scores: Float[np.ndarray, "c"]
    doubt: float | None
    held: Bool[np.ndarray, "c"] | None


def _answered(ensemble: Ensemble, samples: Sequence[Sample], coverage: float | None) -> list[_Answered | UserError]:
    """Return the answer for each clip, or why there is none: what is wrong with one costs no other its answer."""
    try:
        held = None
        if coverage is None:
            scores, doubts = ensemble.answers(samples)
        else:
            scores, doubts, held = ensemble.answers_with_sets(samples, coverage)
    except UserError as error:
        if len(samples) == 1:
            return [error]
        half = len(samples) // 2
        return [*_answered(ensemble, samples[:half], coverage), *_answered(ensemble, samples[half:], coverage)]
    return [
        _Answered(scores[row], None if doubts is None else float(doubts[row]), None if held is None else held[row])
        for row in range(len(samples))
    ]


def _set(ensemble: Ensemble, ranked: Scores, held: Bool[np.ndarray, "c"]) -> tuple[str, ...]:
    """Return the labels in a set, the most probable first."""
    own = {ensemble.labels[place] for place in np.flatnonzero(held)}
    return tuple(entry["label"] for entry in ranked if entry["label"] in own)


def _of_whole(ensemble: Ensemble, found: Whole, coverage: float | None) -> Answer:
    """Return the answer for a long file."""
    scores, chosen = ensemble.ranked(found.score), None
    if coverage is not None:
        chosen = _set(ensemble, scores, ensemble.sets(found.members[None], found.score[None], coverage)[0])
    heard = found.heard, found.windows, found.length, found.offset, found.digest, found.uncertainty
    return Answer(scores, found.rate, found.notes, *heard, chosen)


def _read(ensemble: Ensemble, clip: Clip, sample: Sample) -> Answer:
    """Return a clip's answer as far as it is known before the models are asked."""
    wave = sample.wave
    return Answer(
        [],
        int(ensemble.rate(clip)),
        sample.notes,
        heard=len(wave if ensemble.long_clips != "head" else ensemble.heard(sample)) / SAMPLE_RATE,
        windows=len(ensemble.windows(sample)),
        length=len(wave) / SAMPLE_RATE,
        offset=sample.offset,
        digest=content_hash(np.asarray(wave, "<f4")) if len(wave) else None,
    )
