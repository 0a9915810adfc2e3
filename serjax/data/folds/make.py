"""Folds: which clips each one trains on, stops early by and is tested on; made, written down and read again."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from serjax.data.config import FoldsConfig
from serjax.data.folds import splits
from serjax.data.folds.fold import PARTS, Fold, _read
from serjax.data.folds.recordings import Kept, kept_together, recordings
from serjax.data.folds.texts import keep_texts_apart
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError, one_of


def fold_kind(utterances: Sequence[Utterance], config: FoldsConfig) -> str:
    """Return `config.kind`, with auto resolved: speaker where every clip names one, else stratified."""
    if config.kind != "auto":
        return config.kind
    return "speaker" if all(clip.speaker is not None for clip in utterances) else "stratified"


def fewer_folds(utterances: Sequence[Utterance], config: FoldsConfig) -> str | None:
    """Return a sentence where folds by speaker are fewer than `config.count`, for want of speakers; else None."""
    speakers = {clip.speaker for clip in utterances}
    if fold_kind(utterances, config) != "speaker" or len(speakers) >= config.count:
        return None
    return (
        f"{len(speakers)} speakers make {len(speakers)} folds that test one of them each, not the {config.count} of "
        "--folds.count."
    )


def make_folds(
    utterances: Sequence[Utterance], config: FoldsConfig, seed: int, kept: Sequence[Kept] | None = None
) -> tuple[Fold, ...]:
    """Divide the clips into folds; whatever `config.only` says, all of them are returned.

    Clips of one recording are never divided where no speaker or session does: those of one file, and those that `kept`
    says. Folds by speaker are at most as many as there are speakers (`fewer_folds` says so).
    Every clip is in the test part of one fold, of at most one with kind=files and the kinds that make one split. A
    fold's parts depend on the clips, the seed and the fold's own number alone. Validation clips come from the training
    part: all clips of some speakers, or a share of every class where speakers are not known. With `config.disjoint`
    clips whose sentence a fold tests are left out of its other parts, see `keep_texts_apart`.

    Args:
        utterances: the clips; folds hold positions in it.
        config: kind and count of the folds, and what validation is.
        seed: not negative; the same seed gives the same folds.
        kept: clips that are kept together; by default those that their files and names tell.

    Raises:
        UserError: these clips cannot be divided so, or the file of kind=files does not fit them.
    """
    kind = fold_kind(utterances, config)
    counts = Counter(clip.label for clip in utterances)
    # Clips that are read for their values alone may have no label at all.
    if len(counts) < 2 and "" not in counts:
        raise UserError(
            f"All {len(utterances)} clips have the label {', '.join(counts) or '(none)'}; training needs two classes "
            "or more, so check --data.root and --data.labels."
        )
    groups = recordings(utterances, kept_together(utterances) if kept is None else kept)
    if kind == "files":
        if config.path is None:
            raise UserError(
                "--folds.kind files needs --folds.path: a folds.json, or a folder that holds fold_1 and so on."
            )
        drafts = _read(Path(config.path), utterances)
    elif kind == "split":
        drafts = (Fold(1, *splits.split_clips(utterances, config.split, seed, groups)),)
    elif kind == "parts":
        drafts = (Fold(1, *splits.published_parts(utterances)),)
    elif kind == "split_speakers":
        named = (config.validation_speakers, config.test_speakers)
        drafts = (Fold(1, *splits.split_speakers(utterances, *named)),)
    else:
        if kind == "stratified":
            tests: list[Sequence[int]] = splits.stratified(utterances, config.count, seed, groups)
        elif kind == "speaker_groups":
            tests = splits.speaker_groups(utterances, config.groups)
        elif kind == "every_tenth":
            tests = [splits.every_tenth(utterances, groups)]
        elif kind == "speaker":
            tests = splits.deal_speakers(utterances, config.count, seed)
        else:
            tests = splits.leave_out(utterances, "speaker" if kind == "leave_speaker_out" else "session")
        everything = set(range(len(utterances)))
        drafts = tuple(
            Fold(number, tuple(sorted(everything.difference(test))), (), tuple(sorted(test)))
            for number, test in enumerate(tests, 1)
        )
    if config.disjoint == "text":
        drafts = keep_texts_apart(drafts, utterances, config.text_groups, seed)
    folds = tuple(_with_validation(draft, utterances, config, kind, seed, groups) for draft in drafts)
    for fold in folds:
        require_classes(fold, utterances)
    return folds


def require_classes(fold: Fold, utterances: Sequence[Utterance]) -> None:
    """Check that a fold can be trained, watched and tested.

    Raises:
        UserError: a part is empty, or the training part lacks a class.
    """
    for part in PARTS:
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


def _with_validation(
    fold: Fold, utterances: Sequence[Utterance], config: FoldsConfig, kind: str, seed: int, groups: Sequence[int]
) -> Fold:
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
        held = splits.hold_out_clips(utterances, fold.train, config.validation_share, rng, groups)
    elif len(found) < 2:
        more = "use more folds, or" if len(set(names)) > 2 else "use"
        raise UserError(
            f"fold {fold.number}: all its train clips are of {found.pop()}, and validation needs a speaker or session "
            f"of its own; {more} --folds.validation test."
        )
    else:
        held = splits.hold_out_groups(utterances, fold.train, names, config.validation_share, rng)
    return Fold(fold.number, tuple(i for i in fold.train if i not in held), tuple(sorted(held)), fold.test)


def chosen_folds(folds: Sequence[Fold], only: Sequence[int] | None) -> list[Fold]:
    """Return the folds of the numbers `only`, which is `folds.only` of the settings, or all.

    Raises:
        UserError: there is no fold of such a number.
    """
    only = only or tuple(fold.number for fold in folds)
    strange = sorted(set(only) - {fold.number for fold in folds})
    if strange:
        raise UserError(f"--folds.only: there is no fold {strange[0]}; folds are numbered 1 to {len(folds)}.")
    return [fold for fold in folds if fold.number in only]
