"""Suspicions about folds: parts without a class, unequal test parts, and sentences that were trained on."""

from collections.abc import Iterator, Sequence

from serjax.data.folds.fold import Fold
from serjax.data.suspicions.record import Suspicion
from serjax.data.utterance import Utterance
from serjax.runtime.errors import one_of

UNEQUAL = 3
"""Times as many clips in the largest test part as in the smallest, from which on it is told."""


def of_folds(utterances: Sequence[Utterance], folds: Sequence[Fold]) -> Iterator[Suspicion]:
    """Yield what is suspicious about the folds.

    Speakers and copies on both sides of a fold are for `check_folds`, which refuses or tells them.

    Args:
        utterances: the clips.
        folds: those that are to be trained.
    """
    classes = {clip.label for clip in utterances}
    for part in ("validation", "test"):
        for fold in folds:
            lacking = sorted(classes - {utterances[i].label for i in getattr(fold, part)})
            if lacking:
                yield Suspicion(
                    "class_missing_in_a_part",
                    f"Fold {fold.number} has no clip of {one_of(lacking)} in its {part} part.",
                    "Its UA is then a mean over fewer classes; try fewer folds, or another --folds.kind.",
                )
    sizes = [len(fold.test) for fold in folds]
    if max(sizes) >= UNEQUAL * min(sizes):
        yield Suspicion(
            "unequal_folds",
            f"Folds test {min(sizes)} to {max(sizes)} clips, which a mean over folds counts alike.",
            "Look at the scores of all clips together, or try another --folds.kind.",
        )
    yield from _sentences(utterances, folds)


def _sentences(utterances: Sequence[Utterance], folds: Sequence[Fold]) -> Iterator[Suspicion]:
    if any(clip.text is None for clip in utterances):
        return
    known = 0
    for fold in folds:
        heard = {utterances[i].text for i in fold.train}
        known += sum(utterances[i].text in heard for i in fold.test)
    tested = sum(len(fold.test) for fold in folds)
    if known:
        yield Suspicion(
            "known_sentences",
            f"{known / tested:.0%} of tested clips say a sentence that their fold has trained on.",
            "--folds.disjoint text keeps sentences apart.",
        )
