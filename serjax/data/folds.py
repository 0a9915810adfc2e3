"""Folds: which clips each one trains on, stops early by and is tested on; made, written down and read again."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from serjax.config import FoldsConfig
from serjax.data import splits
from serjax.data.emobox import read_emobox
from serjax.data.utterance import Utterance
from serjax.disk import write_text
from serjax.errors import UserError, one_of

PARTS = ("train", "validation", "test")

_UNUSED = "-"


@dataclass(frozen=True)
class Fold:
    """One division of the clips; all values are positions in the list of utterances, ascending.

    Attributes:
        number: from 1; results are filed under it.
        train: clips to learn from.
        validation: clips that early stopping watches; the same as `test` where that is asked for.
        test: clips that are scored at the end.
    """

    number: int
    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


def fold_kind(utterances: Sequence[Utterance], config: FoldsConfig) -> str:
    """Return `config.kind`, with auto resolved: speaker where every clip names one, else stratified."""
    if config.kind != "auto":
        return config.kind
    return "speaker" if all(clip.speaker is not None for clip in utterances) else "stratified"


def make_folds(utterances: Sequence[Utterance], config: FoldsConfig, seed: int) -> tuple[Fold, ...]:
    """Divide the clips into folds; whatever `config.only` says, all of them are returned.

    Every clip is in the test part of one fold, of at most one with kind=files and the kinds that make one split. A
    fold's parts depend on the clips, the seed and the fold's own number alone. Validation clips come from the training
    part: all clips of some speakers, or a share of every class where speakers are not known.

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
        drafts = _read(Path(config.path), utterances)
    elif kind == "split":
        drafts = (Fold(1, *splits.split_clips(utterances, config.split, seed)),)
    elif kind == "split_speakers":
        named = (config.validation_speakers, config.test_speakers)
        drafts = (Fold(1, *splits.split_speakers(utterances, *named)),)
    else:
        if kind == "stratified":
            tests: list[Sequence[int]] = splits.stratified(utterances, config.count, seed)
        elif kind == "speaker_groups":
            tests = splits.speaker_groups(utterances, config.groups)
        elif kind == "every_tenth":
            tests = [splits.every_tenth(utterances)]
        elif kind == "speaker":
            tests = splits.deal_speakers(utterances, config.count, seed)
        else:
            tests = splits.leave_out(utterances, "speaker" if kind == "leave_speaker_out" else "session")
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


def save_folds(path: Path, folds: Sequence[Fold], utterances: Sequence[Utterance], *, kind: str, seed: int) -> None:
    """Write folds.json: a summary of every fold, then a line a clip with its part in each fold.

    In the lines `test train - validation` reads: test in the first fold, unused in the third. With validation on the
    test part, lines say test. The file is written whole or not at all.

    Args:
        path: where to.
        folds: parts must not overlap, as `check_folds` makes sure.
        utterances: what the folds' positions mean; ids are unique.
        kind: how the folds were made, and
        seed: with which seed; both for the reader only.

    Raises:
        UserError: the disk is full or the folder cannot be written to.
    """
    rows = {clip.id: [_UNUSED] * len(folds) for clip in utterances}
    for column, fold in enumerate(folds):
        for part in PARTS:  # test comes last, and so wins over a validation part that equals it
            for i in getattr(fold, part):
                rows[utterances[i].id][column] = part
    head = {
        "kind": kind,
        "seed": seed,
        "validation": "test" if any(fold.validation == fold.test for fold in folds) else "train",
    }
    summaries = [json.dumps(_summary(fold, utterances), ensure_ascii=False) for fold in folds]
    lines = [f'{json.dumps(name, ensure_ascii=False)}: "{" ".join(parts)}"' for name, parts in rows.items()]
    text = json.dumps(head, indent=1)[:-2]
    text += ',\n "folds": [\n  ' + ",\n  ".join(summaries) + "\n ],\n"
    text += ' "clips": {\n  ' + ",\n  ".join(lines) + "\n }\n}\n"
    write_text(path, text)


def read_parts(path: Path) -> dict[str, dict[int, str]]:
    """Return the part of each clip in each fold, by id and number, from what `save_folds` wrote.

    Raises:
        UserError: the file cannot be read, or is not such a file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        numbers = [int(fold["number"]) for fold in content["folds"]]
        return {clip: dict(zip(numbers, row.split(), strict=True)) for clip, row in content["clips"].items()}
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: it cannot be read as folds ({error!r}); give a run that is complete.") from None


def load_folds(path: Path, utterances: Sequence[Utterance]) -> tuple[Fold, ...]:
    """Read what `save_folds` wrote; clips are found by their ids, in whatever order they are now.

    Raises:
        UserError: the file cannot be read, is not such a file, or its clips are not exactly `utterances`.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        numbers = [int(fold["number"]) for fold in content["folds"]]
        rows = {name: parts.split() for name, parts in content["clips"].items()}
        on_test = content["validation"] == "test"
    except OSError as error:
        raise UserError(f"{path}: it cannot be read ({error.strerror}); correct --folds.path.") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: not a folds.json of serjax ({error!r}); give one that a run has written.") from None
    if len(set(numbers)) < len(numbers):
        raise UserError(f"{path}: two folds have the same number ({numbers}); number them 1 to {len(numbers)}.")
    for name, parts in rows.items():
        if len(parts) != len(numbers) or not set(parts) <= {*PARTS, _UNUSED}:
            raise UserError(
                f"{path}: clip {name} has the parts {' '.join(parts) or '(none)'}, where {len(numbers)} words out of "
                f"{', '.join(PARTS)} and {_UNUSED} are due; correct the line."
            )
    position = {clip.id: i for i, clip in enumerate(utterances)}
    strange = [name for name in rows if name not in position]
    absent = [name for name in position if name not in rows]
    if strange or absent:
        what = (
            f"{len(strange)} clips of the file are not" if strange else f"the file lacks {len(absent)} clips that are"
        )
        raise UserError(
            f"{path}: {what} among the recordings ({one_of(strange or absent)}); use the recordings and labels that "
            "these folds were made for, or make new folds."
        )
    folds = []
    for column, number in enumerate(numbers):
        parts = [tuple(sorted(position[name] for name, row in rows.items() if row[column] == part)) for part in PARTS]
        folds.append(Fold(number, parts[0], parts[2] if on_test else parts[1], parts[2]))
    return tuple(folds)


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
        held = splits.hold_out_clips(utterances, fold.train, config.validation_share, rng)
    elif len(found) < 2:
        raise UserError(
            f"fold {fold.number}: all its train clips are of {found.pop()}, and validation needs a speaker or session "
            "of its own; use more folds, or --folds.validation test."
        )
    else:
        held = splits.hold_out_groups(utterances, fold.train, names, config.validation_share, rng)
    return Fold(fold.number, tuple(i for i in fold.train if i not in held), tuple(sorted(held)), fold.test)


def _read(path: Path, utterances: Sequence[Utterance]) -> tuple[Fold, ...]:
    """Read folds made elsewhere; those without a validation part come back with an empty one."""
    if path.suffix == ".json":
        folds = load_folds(path, utterances)
    else:
        folds = tuple(
            Fold(number, parts["train"], parts.get("validation", ()), parts["test"])
            for number, parts in read_emobox(path, utterances).items()
        )
    tested = Counter(i for fold in folds for i in fold.test)
    again = [utterances[i].id for i, times in tested.items() if times > 1]
    if again:
        raise UserError(f"{path}: several folds test {one_of(again)}; a clip may be in the test part of one fold only.")
    return folds


def _summary(fold: Fold, utterances: Sequence[Utterance]) -> dict[str, Any]:
    speakers = {utterances[i].speaker for i in fold.test} - {None}
    counts = {part: dict(sorted(Counter(utterances[i].label for i in getattr(fold, part)).items())) for part in PARTS}
    return {"number": fold.number, "test_speakers": sorted(map(str, speakers)), **counts}
