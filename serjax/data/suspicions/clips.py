"""Suspicions about clips in number and kind: few, uneven, of one speaker, against the votes, or of equal names."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from serjax.data.suspicions.record import Suspicion, plural
from serjax.data.utterance import Utterance, values_by_name
from serjax.runtime.errors import one_of

FEW = 20
"""Clips below which a class's recall moves by more than 5 points with a single answer."""
UNEVEN = 10
"""Times as many clips in the largest class as in the smallest, from which on it is told."""

_FAR = 3.0
"""Times the width of the middle nine tenths of values, beyond which a value lies far from them."""
_KINDS, _FIELDS = 3, 3
"""Different names without their digits, or numbers in a name, from which on names are no counters."""


def of_clips(utterances: Sequence[Utterance]) -> Iterator[Suspicion]:
    """Yield what is suspicious about the numbers of clips, their speakers, their votes, values and names."""
    yield from _unnamed(utterances)
    yield from _stretches(utterances)
    labelled = [clip for clip in utterances if clip.label]  # a list of values may have no labels
    if labelled:
        yield from _classes(labelled)
        yield from _speakers(labelled)
        yield from _votes(labelled)
    yield from _values(utterances)
    yield from _names(utterances)


def _classes(utterances: Sequence[Utterance]) -> Iterator[Suspicion]:
    counts = Counter(clip.label for clip in utterances)
    small = sorted((count, label) for label, count in counts.items() if count < FEW)
    if small:
        names = one_of([f"{label} {count}" for count, label in small])
        yield Suspicion(
            "few_clips",
            f"Classes of fewer than {FEW} clips ({names}): one answer moves a recall by up to {100 / small[0][0]:.0f} "
            "points.",
            "Add clips, join classes with --data.label-map, or leave some out with --data.labels.",
        )
    (most, many), (least, few) = counts.most_common()[0], counts.most_common()[-1]
    if many >= UNEVEN * few:
        yield Suspicion(
            "uneven_classes",
            f"Class {most} has {many / few:.0f} times as many clips as {least}.",
            "UA and macro-F1 count classes alike, and --train.balance can too.",
        )


def _unnamed(utterances: Sequence[Utterance]) -> Iterator[Suspicion]:
    unnamed = tuple(clip.id for clip in utterances if clip.speaker is None)
    if unnamed and len(unnamed) < len(utterances):
        yield Suspicion(
            "unnamed_speakers",
            f"{plural(len(unnamed))} of {len(utterances)} without a speaker, which the others name.",
            "Name it there too, so that folds can keep speakers apart.",
            unnamed,
        )


def _stretches(utterances: Sequence[Utterance]) -> Iterator[Suspicion]:
    """Yield stretches of one recording whose speakers are not named, which folds may part."""
    counts = Counter(clip.path for clip in utterances)
    cut = tuple(clip.id for clip in utterances if counts[clip.path] > 1 and clip.speaker is None)
    if cut:
        files = len({clip.path for clip in utterances if counts[clip.path] > 1})
        yield Suspicion(
            "stretches_of_one_recording",
            f"{len(cut)} clips are stretches of {plural(files, 'recording')} and name no speaker: folds keep those of "
            "one recording together, but not those of one voice.",
            r"Name the speakers, or take recordings for them with --data.speaker-pattern '([^/]+)\.\w+$'.",
            cut,
        )


def _speakers(utterances: Sequence[Utterance]) -> Iterator[Suspicion]:
    voices, labels = defaultdict(set), defaultdict(set)
    for clip in utterances:
        voices[clip.label].add(clip.speaker)
        if clip.speaker is not None:
            labels[clip.speaker].add(clip.label)
    single = sorted(label for label, found in voices.items() if len(found) == 1 and None not in found)
    if single and len(labels) > 1:
        yield Suspicion(
            "class_of_one_speaker",
            f"All clips of {one_of(single)} are of one speaker each: a voice cannot be told from an emotion there.",
            "Add clips of other speakers, or leave the class out with --data.labels.",
        )
    if len(labels) > 1 and all(len(found) == 1 for found in labels.values()):
        yield Suspicion(
            "speakers_of_one_class",
            "Every speaker has clips of one class only: a model may tell voices apart in place of emotions.",
            "See that speakers are read as meant, or add clips of other classes of theirs.",
        )


def _votes(utterances: Sequence[Utterance]) -> Iterator[Suspicion]:
    against = []
    for clip in utterances:
        votes = dict(clip.votes)
        if votes and votes.get(clip.label, 0.0) < max(votes.values()):
            against.append(clip.id)
    if against:
        voted = sum(bool(clip.votes) for clip in utterances)
        yield Suspicion(
            "label_against_votes",
            f"{plural(len(against))} of {voted} with votes {'has' if len(against) == 1 else 'have'} a label that "
            "another one outvotes.",
            "See which column holds the label, and whether votes go by other names of classes.",
            tuple(against),
        )


def _values(utterances: Sequence[Utterance]) -> Iterator[Suspicion]:
    values = values_by_name(utterances)
    for name, found in values.items():
        if len(found) > 1 and min(found) == max(found):
            yield Suspicion(
                "constant_value",
                f"The value {name} is {found[0]:g} for all {len(found)} clips that have it.",
                "See which column holds it; nothing can be learned from it.",
            )
    yield from _far_values(utterances, values)


def _far_values(utterances: Sequence[Utterance], values: Mapping[str, Sequence[float]]) -> Iterator[Suspicion]:
    """Yield values that lie far from all others, as 999 in place of a missing one does."""
    for name, found in values.items():
        low, high = np.quantile(found, [0.05, 0.95])
        reach = _FAR * (high - low)
        far = [
            (clip.id, value)
            for clip in utterances
            for own, value in clip.values
            if own == name and np.isfinite(value) and not low - reach <= value <= high + reach
        ]
        if high > low and far:
            numbers = one_of(sorted({f"{value:g}" for _, value in far}), 3)
            yield Suspicion(
                "far_values",
                f"{plural(len(far))} with a value {name} far from all others: {numbers}, where nine in ten lie in "
                f"{low:g} to {high:g}.",
                "See whether it stands for a missing value; leave the cell empty there.",
                tuple(clip for clip, _ in far),
            )


def _names(utterances: Sequence[Utterance]) -> Iterator[Suspicion]:
    """Yield names that stand in several folders, unless they are counters or texts that all speakers say."""
    places = defaultdict(list)
    for clip in utterances:
        if clip.start == 0 and clip.end is None:
            places[clip.path.name.casefold()].append(clip)
    again = {name: clips for name, clips in places.items() if len({clip.path.parent for clip in clips}) > 1}
    again = {
        name: clips
        for name, clips in again.items()
        if None in {clip.speaker for clip in clips} or len({clip.speaker for clip in clips}) < len(clips)
    }
    # Names such as clip_001, of which nothing but a number differs, begin anew in every folder.
    kinds = {re.sub(r"\d+", "", name) for name in again}
    if len(kinds) < _KINDS and not any(len(re.findall(r"\d+", name)) >= _FIELDS for name in again):
        return
    clips = tuple(clip.id for found in again.values() for clip in found)
    names = one_of(sorted(found[0].path.name for found in again.values()), 3)
    yield Suspicion(
        "equal_names",
        f"{len(again)} names of files in several folders ({names}), {len(clips)} clips in all.",
        "See whether the folders hold copies, and give the one that is meant as the root.",
        clips,
    )
