"""Answers for many clips, some of which may be unreadable."""

import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from serjax.inference.ensemble import BATCH, Ensemble, Scores
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
    """

    scores: Scores
    rate: int | None
    notes: tuple[str, ...]


def answer(ensemble: Ensemble, clips: Iterable[Clip]) -> Iterator[Answer]:
    """Yield the answer for each clip, in their order."""
    waiting = iter(clips)
    while some := list(itertools.islice(waiting, CHUNK)):
        samples: list[Sample] = []
        answers: list[Answer] = []
        for clip in some:
            try:
                sample = ensemble.read(clip)
                answers.append(Answer([], int(ensemble.rate(clip)), sample.notes))
                samples.append(sample)
            except MissingPackage:
                raise
            except UserError as error:
                answers.append(Answer([], None, (str(error),)))
        rows = iter(ensemble.probabilities(samples) if samples else ())
        for one in answers:
            yield one if one.rate is None else one._replace(scores=ensemble.ranked(next(rows)))
