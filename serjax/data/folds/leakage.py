"""The check before training that no fold tests what it has seen: the same speaker, clip or samples."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from serjax.data.folds.fold import PARTS, Fold
from serjax.data.folds.make import require_classes
from serjax.data.folds.recordings import Kept, describe
from serjax.data.folds.texts import check_texts
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError, one_of


def check_folds(
    folds: Sequence[Fold],
    utterances: Sequence[Utterance],
    hashes: Sequence[str],
    *,
    allow_speaker_overlap: bool,
    disjoint: Literal["text"] | None = None,
    kept: Sequence[Kept] = (),
    silent: Callable[[int], bool] = lambda clip: False,
) -> tuple[tuple[Fold, ...], tuple[str, ...]]:
    """Return the folds without duplicates across their parts, and sentences on what was found, for log and report.

    A fold's test part must share no clip and no speaker with what it is trained and chosen on, nor validation with
    training unless validation is the test part. Where clips of different parts hold the same samples, the one that is
    tested stays, or else the one that validates. Copies within a part stay, since a corpus counts them so.

    Args:
        folds: positions in `utterances`.
        utterances: the clips.
        hashes: of each clip's decoded samples.
        allow_speaker_overlap: report speakers on both sides instead of refusing them.
        disjoint: what else must not be shared, sentences.
        kept: clips that must stand on one side, see `kept_together`. Where folds divide them nonetheless, as given ones
            may, or those by speaker, the ones that are not tested are left out.
        silent: whether a clip is silent, which is asked where clips of several labels hold the same samples.

    Raises:
        UserError: a clip on both sides, a speaker or a sentence that must be apart on both sides, the same samples
            under two labels, or nothing left of a part once its duplicates are gone.
    """
    notes = []
    for fold in folds:
        _refuse_shared_clips(fold, utterances)
    notes += _check_speakers(folds, utterances, allow_speaker_overlap)
    if disjoint == "text":
        notes.append(check_texts(folds, utterances))
    copies = _copies(utterances, hashes, silent)
    once = [_without_copies(fold, copies) for fold in folds]
    notes += [_describe(group, folds, once, utterances) for group in copies]
    cleaned = [_without_copies(fold, [group.clips for group in kept]) for fold in once]
    notes += describe(kept, utterances, _left_out(once, cleaned))
    notes += _divided_files(cleaned, utterances)
    for before, after in zip(folds, cleaned, strict=True):
        try:
            require_classes(after, utterances)
        except UserError as error:
            raise error if after == before else UserError(f"Without clips that others repeat, {error}") from None
    return tuple(cleaned), tuple(notes)


def check_unseen(
    source: str, parts: Mapping[str, Mapping[int, str]], folds: Sequence[int], fold: int, tested: Sequence[str]
) -> None:
    """Check that the fold of another run has not learned from clips that are tested here, nor was chosen by them.

    Args:
        source: what the other run is called in a message.
        parts: part of each clip in each fold of the other run, by id and number.
        folds: numbers of its folds.
        fold: the number here.
        tested: ids of the clips that this fold tests here.

    Raises:
        UserError: there is no such fold, it does not know a clip, or it has learned from one.
    """
    if fold not in folds:
        raise UserError(f"{source}: it has no fold {fold}; train it with the same folds.")
    found = {clip: parts.get(clip, {}).get(fold) for clip in tested}
    strange = [clip for clip, part in found.items() if part is None]
    if strange:
        raise UserError(f"{source}: it does not know the clips {one_of(strange)}; train it on the same recordings.")
    seen = [clip for clip, part in found.items() if part in ("train", "validation")]
    if seen:
        raise UserError(
            f"{source}: its fold {fold} has learned from {one_of(seen)}, which fold {fold} tests here; train it with "
            "the same folds and seed."
        )


def _sides(fold: Fold) -> list[tuple[str, tuple[int, ...], str, tuple[int, ...]]]:
    """Return the pairs of parts that must have nothing in common, with their names."""
    pairs = [("train", fold.train, "test", fold.test)]
    if fold.validation != fold.test:
        pairs += [
            ("validation", fold.validation, "test", fold.test),
            ("train", fold.train, "validation", fold.validation),
        ]
    return pairs


def _refuse_shared_clips(fold: Fold, utterances: Sequence[Utterance]) -> None:
    ids = {part: {utterances[i].id for i in getattr(fold, part)} for part in PARTS}
    for name, _, other_name, _ in _sides(fold):
        shared = sorted(ids[name] & ids[other_name])
        if shared:
            raise UserError(
                f"fold {fold.number}: {len(shared)} clips are in its {name} part and in its {other_name} part "
                f"({one_of(shared)}); correct the folds or the clips' ids."
            )


def _check_speakers(folds: Sequence[Fold], utterances: Sequence[Utterance], allowed: bool) -> list[str]:
    overlap = defaultdict(list)
    for fold in folds:
        speakers = {part: {utterances[i].speaker for i in getattr(fold, part)} for part in PARTS}
        for name, part, other_name, other in _sides(fold):
            shared = speakers[name] & speakers[other_name] - {None}
            if not shared:
                continue
            if not allowed:
                clips = [
                    next(utterances[i].id for i in side if utterances[i].speaker in shared) for side in (part, other)
                ]
                anonymous = any(clip.speaker is None for clip in utterances)
                remedy = f"{'name the speaker of every clip and ' if anonymous else ''}use --folds.kind speaker"
                raise UserError(
                    f"fold {fold.number}: {_plural(len(shared), 'speaker')} ({one_of(sorted(map(str, shared)))}) can "
                    f"be heard in its {name} part and in its {other_name} part, as in {clips[0]} and {clips[1]}; "
                    f"{remedy}, or accept speaker-dependent scores with --folds.allow-speaker-overlap."
                )
            overlap[name, other_name].append((fold.number, shared))
    notes = [
        f"Speakers can be heard in the {name} part and in the {other_name} part of {_folds([n for n, _ in found])} "
        f"({_plural(len(set.union(*(shared for _, shared in found))), 'speaker')}): scores are speaker-dependent."
        for (name, other_name), found in overlap.items()
    ]
    unnamed = sum(clip.speaker is None for clip in utterances)
    if unnamed:
        notes.append(
            f"{unnamed} of {len(utterances)} clips name no speaker: whether folds share speakers cannot be checked."
        )
    return notes


def _copies(utterances: Sequence[Utterance], hashes: Sequence[str], silent: Callable[[int], bool]) -> list[list[int]]:
    """Return groups of clips that hold the same samples."""
    # Nearly all clips have no copy, and need no list of their own.
    repeated = {digest for digest, times in Counter(hashes).items() if times > 1}
    groups = defaultdict(list)
    for i, digest in enumerate(hashes):
        if digest in repeated:
            groups[digest].append(i)
    copies = list(groups.values())
    for group in copies:
        labels = sorted({utterances[i].label for i in group})
        if len(labels) > 1 and silent(group[0]):
            raise UserError(
                f"{_names(group, utterances)} are silent: all samples of each are the same; get them again or delete "
                "them."
            )
        if len(labels) > 1:
            # No choice between them would be right, and any would train or score on a false label.
            raise UserError(
                f"{_names(group, utterances)} hold the same samples, but are labelled {' and '.join(labels)}; correct "
                "the labels or delete the copy that is wrong."
            )
    return copies


def _without_copies(fold: Fold, copies: Sequence[Sequence[int]]) -> Fold:
    drop: set[int] = set()
    test, validation = set(fold.test), set(fold.validation)
    for group in copies:
        kept = test.intersection(group) or validation.intersection(group)
        if kept:
            drop.update(set(group) - kept)
    return replace(
        fold,
        train=tuple(i for i in fold.train if i not in drop),
        validation=tuple(i for i in fold.validation if i not in drop),
    )


def _left_out(folds: Sequence[Fold], cleaned: Sequence[Fold]) -> Counter[int]:
    """Return in how many folds each clip is left out of training or validation."""
    return Counter(
        i
        for before, after in zip(folds, cleaned, strict=True)
        for part in ("train", "validation")
        for i in set(getattr(before, part)).difference(getattr(after, part))
    )


def _divided_files(folds: Sequence[Fold], utterances: Sequence[Utterance]) -> list[str]:
    """Return a sentence on recordings of which a fold trains on one stretch and tests another of an unknown speaker."""
    counts = Counter(str(clip.path) for clip in utterances if clip.path.name and clip.speaker is None)
    several = {path for path, count in counts.items() if count > 1}
    if not several:
        return []
    numbers, files = [], set[str]()
    for fold in folds:
        for _, part, _, other in _sides(fold):
            one, two = (
                {str(utterances[i].path) for i in side if utterances[i].speaker is None} & several
                for side in (part, other)
            )
            if one & two:
                numbers.append(fold.number)
                files |= one & two
    if not files:
        return []
    return [
        f"Stretches of {_plural(len(files), 'recording')} stand on both sides of {_folds(sorted(set(numbers)))} "
        f"({one_of(sorted(files), 3)}) and name no speaker: scores are of voices that were heard in training."
    ]


def _describe(
    group: Sequence[int], folds: Sequence[Fold], cleaned: Sequence[Fold], utterances: Sequence[Utterance]
) -> str:
    left_out = defaultdict(list)
    for before, after in zip(folds, cleaned, strict=True):
        for part in ("train", "validation"):
            for i in sorted(set(group).intersection(getattr(before, part)).difference(getattr(after, part))):
                left_out[i, part].append(before.number)
    same = f"{_names(group, utterances)} hold the same samples"
    if not left_out:
        return f"{same}; no fold divides them, and none is left out."
    details = [
        f"{utterances[i].id} is left out of the {part} part of {_folds(numbers)}"
        for (i, part), numbers in left_out.items()
    ]
    return f"{same}; {', '.join(details)}."


def _names(group: Sequence[int], utterances: Sequence[Utterance]) -> str:
    *names, last = (utterances[i].id for i in group)
    return f"{', '.join(names)} and {last}"


def _folds(numbers: Sequence[int]) -> str:
    return ("fold " if len(numbers) == 1 else "folds ") + ", ".join(map(str, numbers))


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
