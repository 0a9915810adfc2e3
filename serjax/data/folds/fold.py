"""Folds, and the files that hold them."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from serjax.data.folds.emobox import read_emobox
from serjax.data.utterance import Utterance
from serjax.runtime.constraints import FoldNumber, read_as
from serjax.runtime.disk import write_text
from serjax.runtime.errors import UserError, one_of
from serjax.runtime.json_files import LARGEST_LIST

PARTS = ("train", "validation", "test")


_UNUSED = "-"


@dataclass(frozen=True)
class _Number:
    number: FoldNumber


@dataclass(frozen=True)
class _Numbers:
    """Numbers of the folds of a folds.json."""

    folds: tuple[_Number, ...]

    @property
    def numbers(self) -> list[int]:
        return [fold.number for fold in self.folds]


@dataclass(frozen=True)
class _Content(_Numbers):
    """Contents of folds.json, as far as they decide which clips are in which part."""

    clips: dict[str, str]
    validation: Literal["test", "train"] = "train"


@dataclass(frozen=True)
class _Hashes:
    """Hashes of clips in folds.json, which older runs do not have."""

    hashes: dict[str, str] = field(default_factory=dict)


_COMPLETE = "give a run that is complete"


def _content(path: Path, remedy: str) -> _Content:
    return read_as(_Content, path, remedy, largest=LARGEST_LIST)


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


def save_folds(
    path: Path,
    folds: Sequence[Fold],
    utterances: Sequence[Utterance],
    *,
    kind: str,
    seed: int,
    hashes: Sequence[str] = (),
) -> None:
    """Write folds.json: a summary of every fold, then a line a clip with its part in each fold, then their hashes.

    In the lines `test train - validation` reads: test in the first fold, unused in the third. With validation on the
    test part, lines say test. The file is written whole or not at all.

    Args:
        path: where to.
        folds: parts must not overlap, as `check_folds` makes sure.
        utterances: what the folds' positions mean; ids are unique.
        kind: how the folds were made, and
        seed: with which seed; both for the reader only.
        hashes: of each clip's samples, by which other runs' clips are known whatever they are called.

    Raises:
        UserError: the disk is full or the folder cannot be written to.
    """
    rows = np.zeros((len(utterances), len(folds)), np.int8)
    for column, fold in enumerate(folds):
        for number, part in enumerate(PARTS, 1):  # test comes last, and so wins over a validation part that equals it
            rows[list(getattr(fold, part)), column] = number
    words = (_UNUSED, *PARTS)
    # There are few different rows, however many clips.
    texts = {row: " ".join(words[number] for number in row) for row in map(tuple, np.unique(rows, axis=0).tolist())}
    head = {
        "kind": kind,
        "seed": seed,
        "validation": "test" if any(fold.validation == fold.test for fold in folds) else "train",
    }
    summaries = [json.dumps(_summary(fold, utterances), ensure_ascii=False) for fold in folds]
    lines = [
        f'{json.dumps(clip.id, ensure_ascii=False)}: "{texts[tuple(row)]}"'
        for clip, row in zip(utterances, rows.tolist(), strict=True)
    ]
    text = json.dumps(head, indent=1)[:-2]
    text += ',\n "folds": [\n  ' + ",\n  ".join(summaries) + "\n ],\n"
    text += ' "clips": {\n  ' + ",\n  ".join(lines) + "\n }"
    if hashes:
        known = [
            f'{json.dumps(clip.id, ensure_ascii=False)}: "{h}"' for clip, h in zip(utterances, hashes, strict=True)
        ]
        text += ',\n "hashes": {\n  ' + ",\n  ".join(known) + "\n }"
    text += "\n}\n"
    write_text(path, text)


def read_parts(path: Path) -> dict[str, dict[int, str]]:
    """Return the part of each clip in each fold, by id and number, from what `save_folds` wrote.

    Raises:
        UserError: the file cannot be read, or is not such a file.
    """
    content = _content(path, _COMPLETE)
    # Clips with the same parts share one object.
    try:
        parts = {row: dict(zip(content.numbers, row.split(), strict=True)) for row in set(content.clips.values())}
    except ValueError:
        raise UserError(f"{path}: a clip has more or fewer parts than there are folds; {_COMPLETE}.") from None
    return {clip: parts[row] for clip, row in content.clips.items()}


def read_hashes(path: Path) -> dict[str, str]:
    """Return the hash of each clip's samples by its id, from what `save_folds` wrote; none where there are none."""
    try:
        return read_as(_Hashes, path, _COMPLETE, largest=LARGEST_LIST).hashes
    except UserError:
        return {}


def read_numbers(path: Path) -> tuple[int, ...]:
    """Return the numbers of the folds that a folds.json holds, in its order.

    Raises:
        UserError: the file cannot be read, or is not such a file.
    """
    return tuple(read_as(_Numbers, path, _COMPLETE, largest=LARGEST_LIST).numbers)


def load_folds(path: Path, utterances: Sequence[Utterance]) -> tuple[Fold, ...]:
    """Read what `save_folds` wrote; clips are found by their ids, in whatever order they are now.

    Raises:
        UserError: the file cannot be read, is not such a file, or its clips are not exactly `utterances`.
    """
    content = _content(path, "give with --folds.path a folds.json that a run of serjax has written")
    numbers, on_test = content.numbers, content.validation == "test"
    rows = {name: parts.split() for name, parts in content.clips.items()}
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
        own = [tuple(sorted(position[name] for name, row in rows.items() if row[column] == part)) for part in PARTS]
        folds.append(Fold(number, own[0], own[2] if on_test else own[1], own[2]))
    return tuple(folds)


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
