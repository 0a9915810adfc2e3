"""Answers for many clips, some of which may be unreadable."""

import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from serjax.audio import SAMPLE_RATE
from serjax.data.store.decoded import content_hash
from serjax.inference.batched import BATCH
from serjax.inference.ensemble import Ensemble, Scores
from serjax.inference.inputs import Clip, Sample
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


def answer(ensemble: Ensemble, clips: Iterable[Clip], coverage: float | None = None) -> Iterator[Answer]:
    """Yield the answer for each clip, in their order.

    Args:
        ensemble: the models.
        clips: what is answered.
        coverage: of the sets of labels, see `Ensemble.answers_with_sets`; None for none.

    Raises:
        UserError: there can be no sets of this coverage.
    """
    if coverage is not None:
        ensemble.check_coverage(coverage)
    waiting = iter(clips)
    while some := list(itertools.islice(waiting, CHUNK)):
        samples: list[Sample] = []
        answers: list[Answer] = []
        for clip in some:
            try:
                sample = ensemble.read(clip)
                answers.append(_read(ensemble, clip, sample))
                samples.append(sample)
            except MissingPackage:
                raise
            except UserError as error:
                answers.append(Answer([], None, (str(error),)))
        held = None
        if coverage is None:
            scores, doubts = ensemble.answers(samples)
        else:
            scores, doubts, held = ensemble.answers_with_sets(samples, coverage)
        row = 0
        for one in answers:
            if one.rate is None:
                yield one
            else:
                ranked, doubt, chosen = ensemble.ranked(scores[row]), None, None
                if doubts is not None:
                    doubt = float(doubts[row])
                if held is not None:
                    own = {ensemble.labels[place] for place in np.flatnonzero(held[row])}
                    chosen = tuple(entry["label"] for entry in ranked if entry["label"] in own)
                row += 1
                yield one._replace(scores=ranked, uncertainty=doubt, set=chosen)


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
