"""Signs that clips or folds are not as they should be: sentences on what to look at before training."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int64

from serjax.audio import SAMPLE_RATE
from serjax.data.folds.fold import Fold
from serjax.data.utterance import Utterance
from serjax.runtime.errors import one_of

FEW = 20
"""Clips below which a class's recall moves by more than 5 points with a single answer."""
SHORT = 0.5
"""Seconds below which a clip holds a word at most."""
UNEVEN = 10
"""Times as many clips in the largest class as in the smallest, from which on it is told."""
UNEQUAL = 3
"""Times as many clips in the largest test part as in the smallest, from which on it is told."""


def find_suspicions(
    utterances: Sequence[Utterance], lengths: Int64[np.ndarray, "clips"], folds: Sequence[Fold]
) -> list[str]:
    """Return a sentence for everything that should be looked at before training; none where all is well.

    Speakers and copies on both sides of a fold are for `check_folds`, which refuses or tells them.

    Args:
        utterances: the clips.
        lengths: of each, in samples; zeros where no sound is decoded.
        folds: those that are to be trained.
    """
    return [
        *_of_classes(utterances),
        *_of_speakers(utterances),
        *_of_lengths(utterances, lengths),
        *_of_folds(utterances, folds),
        *_of_sentences(utterances, folds),
    ]


def _of_classes(utterances: Sequence[Utterance]) -> Iterator[str]:
    counts = Counter(clip.label for clip in utterances)
    for label, count in sorted(counts.items()):
        if count < FEW:
            clips = "1 clip" if count == 1 else f"{count} clips"
            yield f"Class {label} has {clips}: one answer moves its recall by {100 / count:.0f} points."
    (most, many), (least, few) = counts.most_common()[0], counts.most_common()[-1]
    if many >= UNEVEN * few:
        yield (
            f"Class {most} has {many / few:.0f} times as many clips as {least}; UA and macro-F1 count classes alike, "
            "and --train.balance can too."
        )


def _of_speakers(utterances: Sequence[Utterance]) -> Iterator[str]:
    voices, labels = defaultdict(set), defaultdict(set)
    for clip in utterances:
        voices[clip.label].add(clip.speaker)
        if clip.speaker is not None:
            labels[clip.speaker].add(clip.label)
    single = sorted(label for label, found in voices.items() if len(found) == 1 and None not in found)
    if single and len(labels) > 1:
        yield f"All clips of {one_of(single)} are of one speaker each: a voice cannot be told from an emotion there."
    if len(labels) > 1 and all(len(found) == 1 for found in labels.values()):
        yield "Every speaker has clips of one class only: a model may tell voices apart in place of emotions."


def _of_lengths(utterances: Sequence[Utterance], lengths: Int64[np.ndarray, "clips"]) -> Iterator[str]:
    short = np.flatnonzero((lengths > 0) & (lengths < SHORT * SAMPLE_RATE)).tolist()
    if short:
        names = one_of([utterances[i].id for i in short])
        yield f"Clips shorter than {SHORT:g} s: {len(short)} ({names}); see whether they hold speech."


def _of_folds(utterances: Sequence[Utterance], folds: Sequence[Fold]) -> Iterator[str]:
    classes = {clip.label for clip in utterances}
    for part in ("validation", "test"):
        for fold in folds:
            lacking = sorted(classes - {utterances[i].label for i in getattr(fold, part)})
            if lacking:
                yield f"Fold {fold.number} has no clip of {one_of(lacking)} in its {part} part."
    sizes = [len(fold.test) for fold in folds]
    if max(sizes) >= UNEQUAL * min(sizes):
        yield f"Folds test {min(sizes)} to {max(sizes)} clips, which a mean over folds counts alike."


def _of_sentences(utterances: Sequence[Utterance], folds: Sequence[Fold]) -> Iterator[str]:
    if any(clip.text is None for clip in utterances):
        return
    known = 0
    for fold in folds:
        heard = {utterances[i].text for i in fold.train}
        known += sum(utterances[i].text in heard for i in fold.test)
    tested = sum(len(fold.test) for fold in folds)
    if known:
        yield (
            f"{known / tested:.0%} of tested clips say a sentence that their fold has trained on; --folds.disjoint "
            "text keeps sentences apart."
        )
