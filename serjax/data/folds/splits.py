"""Ways to divide clips: by class, by speaker, by group. All return positions in the list of utterances."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float
from sklearn.model_selection import StratifiedKFold

from serjax.data.corpora.names import part_role
from serjax.data.folds.balance import imbalance, rebalance
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError, one_of

_DRAWS = 256
"""Random choices of validation speakers among which the best balanced is taken; it costs about a millisecond."""
_STARTS = 12
"""Random orders in which speakers are dealt, beside the largest first, where there are at most"""
_FEW = 200
"""speakers: with more, the first division leaves little to gain; and from"""
_MANY = 2000
"""speakers on, nothing that would be worth the seconds."""


def stratified(utterances: Sequence[Utterance], count: int, seed: int, groups: Sequence[int]) -> list[Sequence[int]]:
    """Return the test parts of `count` folds, each with about the same share of every class.

    Args:
        utterances: the clips.
        count: number of folds.
        seed: decides which.
        groups: the recording of every clip; clips of one are not divided.

    Raises:
        UserError: fewer than two folds, or a class with fewer clips, or recordings, than folds.
    """
    _require_count(count)
    labels = [clip.label for clip in utterances]
    if len(set(groups)) < len(groups):
        whole = Counter(label for label, _ in set(zip(labels, groups, strict=True)))
        label, fewest = min(sorted(whole.items()), key=lambda item: item[1])
        if fewest < count:
            raise UserError(
                f"The clips of class {label} are of {fewest} recordings, fewer than the {count} folds, and those of "
                "one recording are not divided; lower --folds.count or leave the class out with --data.labels."
            )
        return deal(utterances, groups, count, seed)
    label, fewest = min(sorted(Counter(labels).items()), key=lambda item: item[1])
    if fewest < count:
        raise UserError(
            f"Class {label} has {fewest} clips, fewer than the {count} folds; lower --folds.count or leave the class "
            "out with --data.labels."
        )
    splitter = StratifiedKFold(count, shuffle=True, random_state=seed)
    return [test.tolist() for _, test in splitter.split(labels, labels)]


def published_parts(utterances: Sequence[Utterance]) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Return the training, validation and test part that the corpus names as sessions, such as train, dev and test1.

    Raises:
        UserError: a clip is in no part, or a part of another name; or there is no training or test part.
    """
    found: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    strange: Counter[str] = Counter()
    for place, clip in enumerate(utterances):
        part = part_role(clip.session or "")
        if part is None:
            strange[clip.session or "none"] += 1
        else:
            found[part].append(place)
    if strange or not found["train"] or not found["test"]:
        told = ", ".join(f"{name} {count}" for name, count in strange.most_common(5)) or "no training or no test part"
        raise UserError(
            f"--folds.kind parts: clips are to be in train, dev or test by the corpus or a list's column session; "
            f"found {told}. Choose another --folds.kind."
        )
    return tuple(found["train"]), tuple(found["validation"]), tuple(found["test"])


def deal_speakers(utterances: Sequence[Utterance], count: int, seed: int) -> list[Sequence[int]]:
    """Deal whole speakers to folds so that each gets about as many clips, in all and of every class.

    The largest speaker first, each goes where the sum of squared loads (a class's clips in the fold over all its
    clips) grows least; then speakers move and change places as long as that makes folds more equal (`rebalance`).
    Where speakers are few the same is tried from random orders, and the most equal folds are taken. scikit-learn's
    StratifiedGroupKFold has the same aim, but did not stratify shuffled groups before 1.8 (its pull request 32540) and
    can leave a fold empty (its issue 34828).

    Returns:
        The test parts of as many folds as are asked for, or of one a speaker where there are fewer speakers.

    Raises:
        UserError: fewer than two folds, a clip without a speaker, a single speaker, or a class with fewer speakers
            than folds.
    """
    _require_count(count)
    names = _require_named(utterances, "speaker", "speaker")
    speakers = defaultdict(set)
    for clip in utterances:
        speakers[clip.label].add(clip.speaker)
    people = len(set(names))
    label = min(sorted(speakers), key=lambda name: len(speakers[name]))
    if people < 2:
        raise UserError(
            f"All clips are of speaker {names[0]}, and folds by speaker need two; use --folds.kind stratified with "
            "--folds.allow-speaker-overlap, whose scores tell nothing of other speakers."
        )
    if people < count or people == count > len(speakers[label]):
        return leave_out(utterances, "speaker")
    if len(speakers[label]) < count:
        raise UserError(
            f"Class {label} has {len(speakers[label])} speakers, fewer than the {count} folds; lower --folds.count or "
            "leave the class out with --data.labels."
        )
    return deal(utterances, names, count, seed)


def deal(utterances: Sequence[Utterance], names: Sequence[Hashable], count: int, seed: int) -> list[Sequence[int]]:
    """Deal whole groups of clips, such as those of a speaker or a sentence, as `deal_speakers` says.

    Args:
        utterances: the clips.
        names: the group of every utterance; `count` different ones or more.
        count: number of folds.
        seed: decides between equal folds.
    """
    groups, shares = _class_shares(utterances, names, range(len(utterances)))
    sizes = np.array([len(group) for group in groups]) / len(utterances)
    rng = np.random.default_rng([seed])
    order = rng.permutation(len(groups))
    best = _greedy(shares, order[np.argsort(-shares[order].sum(1).round(9), kind="stable")], count)
    if len(groups) <= _MANY:
        best = rebalance(shares, sizes, best, count)
    for _ in range(_STARTS if len(groups) <= _FEW else 0):
        other = rebalance(shares, sizes, _greedy(shares, rng.permutation(len(groups)), count), count)
        # Rounded, so that what is equal but for float noise is equal on every machine.
        if round(imbalance(shares, sizes, other), 7) < round(imbalance(shares, sizes, best), 7):
            best = other
    return [[i for group in np.flatnonzero(best == fold) for i in groups[group]] for fold in range(count)]


def _greedy(shares: Float[np.ndarray, "groups c"], order: np.ndarray, count: int) -> np.ndarray:
    """Return the fold of each group, where each in turn goes where squared loads grow least."""
    loads, folds = np.zeros((count, shares.shape[1])), np.zeros(len(shares), int)
    for group in order.tolist():
        # An empty fold grows least but for those without the speaker's classes, so none stays empty: every class has
        # speakers for all folds.
        folds[group] = int(((2 * loads + shares[group]) @ shares[group]).round(12).argmin())
        loads[folds[group]] += shares[group]
    return folds


def leave_out(utterances: Sequence[Utterance], what: Literal["speaker", "session"]) -> list[Sequence[int]]:
    """Return the test parts of as many folds as there are speakers or sessions, in order of their names.

    Raises:
        UserError: a clip that names none, or only one of them.
    """
    names = _require_named(utterances, what, f"leave_{what}_out")
    found = sorted(set(names))
    if len(found) < 2:
        raise UserError(f"--folds.kind leave_{what}_out: all clips are of {what} {found[0]}; two {what}s are needed.")
    return [[i for i, name in enumerate(names) if name == out] for out in found]


def hold_out_groups(
    utterances: Sequence[Utterance],
    train: Sequence[int],
    names: Sequence[Hashable],
    share: float,
    rng: np.random.Generator,
) -> set[int]:
    """Choose whole groups out of `train`: of many random choices the one that best holds `share` of every class.

    Every class stays in what is left, and is in what is held out, where that is possible.

    Args:
        utterances: the clips.
        train: positions to choose from; of two groups or more.
        names: the group of every utterance.
        share: of the groups, rounded, at least one.
        rng: what the choice depends on.
    """
    groups, shares = _class_shares(utterances, names, train)
    count = min(max(1, round(share * len(groups))), len(groups) - 1)
    draws = np.stack([rng.permutation(len(groups))[:count] for _ in range(_DRAWS)])
    held = shares[draws].sum(1).round(9)
    lost, unseen = (held == 1).sum(1), (held == 0).sum(1)
    best = np.lexsort((np.abs(held - share).sum(1).round(9), unseen, lost))[0]
    return {i for group in draws[best] for i in groups[group]}


def split_clips(
    utterances: Sequence[Utterance], shares: tuple[float, float], seed: int, groups: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Return training, validation and test clips: of n clips of a class floor(share * n) train and validate.

    Speakers are not kept apart. Clips of one recording, as `groups` says, are: n is then the number of recordings.

    Raises:
        UserError: shares that leave nothing for a part.
    """
    train_share, validation_share = shares
    if not (train_share > 0 and validation_share > 0 and train_share + validation_share < 1):
        raise UserError(f"--folds.split {train_share:g} {validation_share:g}: both must be above 0, and 1 not reached.")
    rng = np.random.default_rng([seed])
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    whole = _whole(utterances, range(len(utterances)), groups)
    for label in sorted(whole):
        order = rng.permutation(len(whole[label])).tolist()
        # Rounded first: 0.7 * 10 is a little less than 7 in floating point.
        first = int(round(train_share * len(order), 9))
        second = first + int(round(validation_share * len(order), 9))
        for part, chosen in zip(parts, (order[:first], order[first:second], order[second:]), strict=True):
            part += [i for place in chosen for i in whole[label][place]]
    train, validation, test = (tuple(sorted(part)) for part in parts)
    return train, validation, test


def every_tenth(utterances: Sequence[Utterance], groups: Sequence[int]) -> list[int]:
    """Return the first, eleventh ... clip of every class, in the order they are given; speakers are not kept apart.

    Clips of one recording, as `groups` says, are: the first, eleventh ... recording is then taken.
    """
    whole = _whole(utterances, range(len(utterances)), groups)
    return [i for found in whole.values() for one in found[::10] for i in one]


def speaker_groups(utterances: Sequence[Utterance], groups: Sequence[str]) -> list[Sequence[int]]:
    """Return the test parts of as many folds as there are groups of speakers, such as `01,11,20,21`.

    Raises:
        UserError: fewer than two groups, a speaker in two of them or in none, or one whom no clip names.
    """
    names = _require_named(utterances, "speaker", "speaker_groups")
    fold_of = {name.strip(): fold for fold, group in enumerate(groups) for name in group.split(",")}
    if len(groups) < 2 or len(fold_of) < sum(group.count(",") + 1 for group in groups):
        raise UserError(f"--folds.groups {' '.join(groups)}: give two groups or more, and each speaker in one of them.")
    strange = sorted(set(names) ^ set(fold_of))
    if strange:
        raise UserError(
            f"--folds.groups must name every speaker of the corpus and no other; it is not so for {one_of(strange)}."
        )
    return [[i for i, name in enumerate(names) if fold_of[name] == fold] for fold in range(len(groups))]


def split_speakers(
    utterances: Sequence[Utterance], validation: Sequence[str], test: Sequence[str]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Return training, validation and test clips, the last two those of the speakers named.

    Raises:
        UserError: no test speaker, one in both parts, or one whom no clip names.
    """
    names = _require_named(utterances, "speaker", "split_speakers")
    if not test:
        raise UserError("--folds.kind split_speakers needs --folds.test-speakers: name who is tested on.")
    both = sorted(set(validation) & set(test))
    if both:
        raise UserError(f"--folds.validation-speakers and --folds.test-speakers both name {one_of(both)}; choose one.")
    absent = sorted({*validation, *test} - set(names))
    if absent:
        raise UserError(
            f"--folds.kind split_speakers: no clip is of speaker {one_of(absent)}; the corpus has "
            f"{one_of(sorted(set(names)))}."
        )
    where = {**dict.fromkeys(validation, 1), **dict.fromkeys(test, 2)}
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    for i, name in enumerate(names):
        parts[where.get(name, 0)].append(i)
    return tuple(parts[0]), tuple(parts[1]), tuple(parts[2])


def hold_out_clips(
    utterances: Sequence[Utterance],
    train: Sequence[int],
    share: float,
    rng: np.random.Generator,
    groups: Sequence[int],
) -> set[int]:
    """Choose `share` of the clips of every class out of `train`, at least one of each class that has two.

    Clips of one recording, as `groups` says, go together: it is then a share of the recordings.
    """
    whole = _whole(utterances, train, groups)
    held: set[int] = set()
    for label in sorted(whole):
        found = whole[label]
        count = min(max(1, round(share * len(found))), len(found) - 1)
        held.update(i for j in rng.permutation(len(found))[:count] for i in found[j])
    return held


def _whole(utterances: Sequence[Utterance], clips: Sequence[int], groups: Sequence[int]) -> dict[str, list[list[int]]]:
    """Return the clips of each recording by the label that most of them have, labels and recordings in their order."""
    members = defaultdict(list)
    for i in clips:
        members[groups[i]].append(i)
    found: dict[str, list[list[int]]] = {}
    for one in members.values():
        label = Counter(utterances[i].label for i in one).most_common(1)[0][0]
        found.setdefault(label, []).append(one)
    return found


def _class_shares(
    utterances: Sequence[Utterance], names: Sequence[Hashable], clips: Sequence[int]
) -> tuple[list[list[int]], Float[np.ndarray, "groups c"]]:
    """Return the clips of each group, in order of the names, and which share of every class's clips they are."""
    groups = defaultdict(list)
    for i in clips:
        groups[names[i]].append(i)
    classes = {label: c for c, label in enumerate(sorted({utterances[i].label for i in clips}))}
    counts = np.zeros((len(groups), len(classes)))
    ordered = [groups[name] for name in sorted(groups, key=str)]
    for row, members in enumerate(ordered):
        counts[row] = np.bincount([classes[utterances[i].label] for i in members], minlength=len(classes))
    return ordered, counts / counts.sum(0)


def _require_count(count: int) -> None:
    if count < 2:
        raise UserError(f"--folds.count {count}: cross-validation needs two folds or more.")


def _require_named(utterances: Sequence[Utterance], what: str, kind: str) -> list[str]:
    """Return every clip's speaker or session."""
    names = [getattr(clip, what) for clip in utterances]
    unnamed = [clip.id for clip, name in zip(utterances, names, strict=True) if name is None]
    if unnamed:
        source = "name speakers with --data.speaker-pattern" if what == "speaker" else "name sessions in a list"
        raise UserError(
            f"--folds.kind {kind}: {len(unnamed)} of {len(utterances)} clips have no {what} ({one_of(unnamed)}); "
            f"{source}, or use --folds.kind stratified."
        )
    return names
