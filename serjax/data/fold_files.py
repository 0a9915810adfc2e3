"""What a fold is, and folds as files: serjax's own folds.json and the folders that EmoBox publishes."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serjax.data.utterance import Utterance
from serjax.disk import write_text
from serjax.errors import UserError, one_of

PARTS = ("train", "validation", "test")

_UNUSED = "-"
_PART_OF_NAME = {"train": "train", "valid": "validation", "val": "validation", "dev": "validation", "test": "test"}


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
    lines = [f"{_quoted(name)}: {_quoted(' '.join(parts))}" for name, parts in rows.items()]
    text = json.dumps(head, indent=1)[:-2]
    text += ',\n "folds": [\n  ' + ",\n  ".join(summaries) + "\n ],\n"
    text += ' "clips": {\n  ' + ",\n  ".join(lines) + "\n }\n}\n"
    write_text(path, text)


def load_folds(path: Path, utterances: Sequence[Utterance]) -> tuple[Fold, ...]:
    """Read what `save_folds` wrote; clips are found by their ids, in whatever order they are now.

    Raises:
        UserError: the file cannot be read, is not such a file, or its clips are not exactly `utterances`.
    """
    text = _read_text(path)
    try:
        content = json.loads(text)
        numbers = [int(fold["number"]) for fold in content["folds"]]
        rows = {name: parts.split() for name, parts in content["clips"].items()}
        on_test = content["validation"] == "test"
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: not a folds.json of serjax ({error!r}); give one that a run has written.") from None
    for name, parts in rows.items():
        if len(parts) != len(numbers) or not set(parts) <= {*PARTS, _UNUSED}:
            raise UserError(
                f"{path}: clip {name} has the parts {' '.join(parts) or '(none)'}, where {len(numbers)} words out of "
                f"{', '.join(PARTS)} and {_UNUSED} are due; correct the line."
            )
    position = {clip.id: i for i, clip in enumerate(utterances)}
    _require_all(path, [name for name in rows if name not in position], "are not among the clips")
    _require_all(path, [name for name in position if name not in rows], "are not in the file")
    folds = []
    for column, number in enumerate(numbers):
        parts = [tuple(sorted(position[name] for name, row in rows.items() if row[column] == part)) for part in PARTS]
        folds.append(Fold(number, parts[0], parts[2] if on_test else parts[1], parts[2]))
    return tuple(folds)


def read_folds(path: Path, utterances: Sequence[Utterance]) -> tuple[Fold, ...]:
    """Read folds made elsewhere: a folds.json, or a folder in EmoBox's layout (github.com/emo-box/EmoBox, data/).

    Such a folder holds fold_1, fold_2 and so on, each with NAME_train_fold_1.jsonl, NAME_test_fold_1.jsonl and perhaps
    NAME_valid_fold_1.jsonl: any .jsonl whose name contains the word. A line's `key` is looked for among the clips' ids;
    failing that, the file name of its `wav`, without suffix, among those of the clips. Folds without a validation part
    come back with an empty one. Clips that no line names stay unused.

    Raises:
        UserError: nothing to read, lines that fit no clip, or a clip that several folds test.
    """
    if path.suffix == ".json":
        folds = load_folds(path, utterances)
    else:
        folders = sorted(
            (int(match[1]), folder)
            for folder in path.glob("fold*")
            if folder.is_dir() and (match := re.fullmatch(r"fold_?(\d+)", folder.name))
        )
        if not folders:
            raise UserError(
                f"--folds.path {path}: it is neither a folds.json nor a folder that holds fold_1, fold_2 ..."
            )
        by_id = {clip.id: i for i, clip in enumerate(utterances)}
        stems = Counter(clip.path.stem for clip in utterances)
        by_stem = {clip.path.stem: i for i, clip in enumerate(utterances) if stems[clip.path.stem] == 1}
        folds = tuple(_read_fold(number, folder, by_id, by_stem) for number, folder in folders)
    tested = Counter(i for fold in folds for i in fold.test)
    again = [utterances[i].id for i, times in tested.items() if times > 1]
    if again:
        raise UserError(f"{path}: several folds test {one_of(again)}; a clip may be in the test part of one fold only.")
    return folds


def _read_fold(number: int, folder: Path, by_id: dict[str, int], by_stem: dict[str, int]) -> Fold:
    found: dict[str, tuple[int, ...]] = {}
    for path in sorted(folder.glob("*.jsonl")):
        # The last word decides: a corpus may itself be called after one.
        words = [_PART_OF_NAME[word] for word in re.split(r"[^a-z]+", path.stem.lower()) if word in _PART_OF_NAME]
        if not words:
            continue
        if words[-1] in found:
            raise UserError(f"{folder}: two files hold its {words[-1]} part, one is {path.name}; leave only one there.")
        found[words[-1]] = _read_part(path, by_id, by_stem)
    for part in ("train", "test"):
        if part not in found:
            raise UserError(
                f"{folder}: no .jsonl file there has the word {part} in its name; add the fold's {part} part."
            )
    return Fold(number, found["train"], found.get("validation", ()), found["test"])


def _read_part(path: Path, by_id: dict[str, int], by_stem: dict[str, int]) -> tuple[int, ...]:
    clips, unknown = [], []
    for number, line in enumerate(_read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            key, stem = str(row["key"]), Path(str(row.get("wav", ""))).stem
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UserError(f"{path}:{number}: each line must be a JSON object with a key; correct this one.") from None
        clip = by_id.get(key, by_stem.get(stem))
        if clip is None:
            unknown.append(key)
        else:
            clips.append(clip)
    _require_all(path, unknown, "are not among the clips")
    return tuple(sorted(set(clips)))


def _require_all(path: Path, absent: Sequence[str], where: str) -> None:
    if absent:
        raise UserError(
            f"{path}: {len(absent)} clips {where} ({one_of(list(absent))}); use the recordings and labels that these "
            "folds were made for, or make new folds."
        )


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: the folds cannot be read ({error}); correct --folds.path.") from None


def _summary(fold: Fold, utterances: Sequence[Utterance]) -> dict[str, Any]:
    speakers = {utterances[i].speaker for i in fold.test} - {None}
    counts = {part: dict(sorted(Counter(utterances[i].label for i in getattr(fold, part)).items())) for part in PARTS}
    return {"number": fold.number, "test_speakers": sorted(map(str, speakers)), **counts}


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
