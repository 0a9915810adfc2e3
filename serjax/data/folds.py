"""Folds: which clips each one trains on, stops early by and is tested on."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from sklearn.model_selection import StratifiedKFold

from serjax.config import FoldsConfig
from serjax.data.fold_files import Fold, read_folds
from serjax.data.utterance import Utterance
from serjax.errors import UserError, one_of

_DRAWS = 256
"""Random choices of validation speakers among which the best balanced is taken; it costs about a millisecond."""


def fold_kind(utterances: Sequence[Utterance], config: FoldsConfig) -> str:
    """Return `config.kind`, with auto resolved: speaker where every clip names one, else stratified."""
    if config.kind != "auto":
        return config.kind
    return "speaker" if all(clip.speaker is not None for clip in utterances) else "stratified"


def make_folds(utterances: Sequence[Utterance], config: FoldsConfig, seed: int) -> tuple[Fold, ...]:
    """Divide the clips into folds; whatever `config.only` says, all of them are returned.

    Every clip is in the test part of one fold (of at most one with kind=files). A fold's parts depend on the clips, the
    seed and the fold's own number alone. Validation clips come from the training part: all clips of some speakers, or
    a share of every class where speakers are not known.

    Args:
        utterances: the clips; folds hold positions in it.
        config: kind and count of the folds, and what validation is.
        seed: not negative; the same seed gives the same folds.

    Raises:
        UserError: these clips cannot be divided so, or the file of kind=files does not fit them.
    """
    kind = fold_kind(utterances, config)
    counts = Counter(clip.label for clip in utterances)
    if len(counts) < 2:
        raise UserError(
            f"All {len(utterances)} clips have the label {', '.join(counts) or '(none)'}; training needs two classes "
            "or more, so check --data.root and --data.labels."
        )
    if kind == "files":
        if config.path is None:
            raise UserError(
                "--folds.kind files needs --folds.path: a folds.json, or a folder that holds fold_1 and so on."
            )
        drafts = read_folds(Path(config.path), utterances)
    else:
        if kind == "stratified":
            tests = _stratified(utterances, config.count, seed)
        elif kind == "speaker":
            tests = _deal(utterances, config.count, seed)
        else:
            tests = _leave_out(utterances, "speaker" if kind == "leave_speaker_out" else "session")
        everything = set(range(len(utterances)))
        drafts = tuple(
            Fold(number, tuple(sorted(everything.difference(test))), (), tuple(sorted(test)))
            for number, test in enumerate(tests, 1)
        )
    folds = tuple(_with_validation(draft, utterances, config, kind, seed) for draft in drafts)
    for fold in folds:
        require_classes(fold, utterances)
    return folds


def require_classes(fold: Fold, utterances: Sequence[Utterance]) -> None:
    """Check that a fold can be trained, watched and tested.

    Raises:
        UserError: a part is empty, or the training part lacks a class.
    """
    for part in ("train", "validation", "test"):
        if not getattr(fold, part):
            raise UserError(
                f"fold {fold.number}: its {part} part has no clip; use other --folds.kind or --folds.count."
            )
    lacking = {clip.label for clip in utterances} - {utterances[i].label for i in fold.train}
    if lacking:
        raise UserError(
            f"fold {fold.number}: its train part has no clip of {one_of(sorted(lacking))}; use another --folds.kind or "
            "--folds.count, or leave the class out with --data.labels."
        )


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


def _stratified(utterances: Sequence[Utterance], count: int, seed: int) -> list[Sequence[int]]:
    _require_count(count)
    labels = [clip.label for clip in utterances]
    label, fewest = min(sorted(Counter(labels).items()), key=lambda item: item[1])
    if fewest < count:
        raise UserError(
            f"Class {label} has {fewest} clips, fewer than the {count} folds; lower --folds.count or leave the class "
            "out with --data.labels."
        )
    splitter = StratifiedKFold(count, shuffle=True, random_state=seed)
    return [test.tolist() for _, test in splitter.split(labels, labels)]


def _deal(utterances: Sequence[Utterance], count: int, seed: int) -> list[Sequence[int]]:
    """Deal whole speakers to folds so that each gets about as many clips of every class.

    The largest speaker first, each goes where the sum of squared loads (a class's clips in the fold over all its
    clips) grows least. scikit-learn's StratifiedGroupKFold has the same aim, but did not stratify shuffled groups
    before 1.8 (its pull request 32540) and can leave a fold empty (its issue 34828).
    """
    _require_count(count)
    names = _require_named(utterances, "speaker", "speaker")
    speakers = defaultdict(set)
    for clip in utterances:
        speakers[clip.label].add(clip.speaker)
    if len(set(names)) < count:
        raise UserError(
            f"The clips have {len(set(names))} speakers, fewer than the {count} folds; lower --folds.count, or use "
            "--folds.kind stratified with --folds.allow-speaker-overlap."
        )
    label = min(sorted(speakers), key=lambda name: len(speakers[name]))
    if len(speakers[label]) < count:
        raise UserError(
            f"Class {label} has {len(speakers[label])} speakers, fewer than the {count} folds; lower --folds.count or "
            "leave the class out with --data.labels."
        )
    groups, shares = _class_shares(utterances, names, range(len(utterances)))
    order = np.random.default_rng([seed]).permutation(len(groups))
    order = order[np.argsort(-shares[order].sum(1).round(9), kind="stable")]
    loads = np.zeros((count, shares.shape[1]))
    dealt: list[list[int]] = [[] for _ in range(count)]
    for left, group in zip(range(len(order), 0, -1), order.tolist(), strict=True):
        growth = (2 * loads + shares[group]) @ shares[group]
        empty = np.array([not fold for fold in dealt])
        if empty.sum() == left:
            growth[~empty] = np.inf
        # Rounded, so that what is equal but for float noise is equal on every machine.
        best = int(growth.round(9).argmin())
        loads[best] += shares[group]
        dealt[best] += groups[group]
    return list(dealt)


def _leave_out(utterances: Sequence[Utterance], what: str) -> list[Sequence[int]]:
    names = _require_named(utterances, what, f"leave_{what}_out")
    found = sorted(set(names))
    if len(found) < 2:
        raise UserError(f"--folds.kind leave_{what}_out: all clips are of {what} {found[0]}; two {what}s are needed.")
    return [[i for i, name in enumerate(names) if name == out] for out in found]


def _with_validation(fold: Fold, utterances: Sequence[Utterance], config: FoldsConfig, kind: str, seed: int) -> Fold:
    """Hold validation clips out of the training part, unless the fold has its own or its test part is to be it."""
    own = set(fold.validation) != set(fold.test) and fold.validation
    if config.validation == "test":
        rest = {*fold.train, *(own or ())}
        return Fold(fold.number, tuple(sorted(rest)), fold.test, fold.test)
    if own:
        return fold
    if not 0 < config.validation_share < 1:
        raise UserError(f"--folds.validation-share {config.validation_share:g}: give a share between 0 and 1.")
    rng = np.random.default_rng([seed, fold.number])
    names: list[str | None] = [clip.speaker for clip in utterances]
    if None in names and kind == "leave_session_out":
        names = [clip.session for clip in utterances]
    found = {names[i] for i in fold.train}
    # One voice cannot be held apart from itself: where there is no second one at all, classes are divided instead.
    if None in found or (len(found) < 2 and (kind == "stratified" or len(set(names)) < 2)):
        held = _hold_out_clips(utterances, fold.train, config.validation_share, rng)
    elif len(found) < 2:
        raise UserError(
            f"fold {fold.number}: all its train clips are of {found.pop()}, and validation needs a speaker or session "
            "of its own; use more folds, or --folds.validation test."
        )
    else:
        held = _hold_out_groups(utterances, fold.train, names, config.validation_share, rng)
    return Fold(fold.number, tuple(i for i in fold.train if i not in held), tuple(sorted(held)), fold.test)


def _hold_out_groups(
    utterances: Sequence[Utterance],
    train: Sequence[int],
    names: Sequence[Hashable],
    share: float,
    rng: np.random.Generator,
) -> set[int]:
    """Choose whole speakers: of many random choices that which best holds `share` of every class."""
    groups, shares = _class_shares(utterances, names, train)
    count = min(max(1, round(share * len(groups))), len(groups) - 1)
    draws = np.stack([rng.permutation(len(groups))[:count] for _ in range(_DRAWS)])
    held = shares[draws].sum(1).round(9)
    lost, unseen = (held == 1).sum(1), (held == 0).sum(1)
    best = np.lexsort((np.abs(held - share).sum(1).round(9), unseen, lost))[0]
    return {i for group in draws[best] for i in groups[group]}


def _hold_out_clips(
    utterances: Sequence[Utterance], train: Sequence[int], share: float, rng: np.random.Generator
) -> set[int]:
    """Choose a share of every class, at least one clip of each that has two."""
    by_label = defaultdict(list)
    for i in train:
        by_label[utterances[i].label].append(i)
    held: set[int] = set()
    for label in sorted(by_label):
        clips = by_label[label]
        count = min(max(1, round(share * len(clips))), len(clips) - 1)
        held.update(clips[j] for j in rng.permutation(len(clips))[:count])
    return held


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
        for i in members:
            counts[row, classes[utterances[i].label]] += 1
    return ordered, counts / counts.sum(0)
