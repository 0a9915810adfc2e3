"""The folds that EmoBox publishes (github.com/emo-box/EmoBox, data/): a folder a fold, a list of clips a part."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath, PurePosixPath

from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError, one_of
from serjax.runtime.json_files import parse_json
from serjax.runtime.text import read_lines

_PART_OF_WORD = {"train": "train", "valid": "validation", "val": "validation", "dev": "validation", "test": "test"}

_LONGEST = 4
"""Parts at the end of a path by which clips are looked for."""


def read_emobox(path: Path, utterances: Sequence[Utterance]) -> dict[int, dict[str, tuple[int, ...]]]:
    """Read a folder that holds fold_1, fold_2 and so on.

    Each of them holds NAME_train_fold_1.jsonl, NAME_test_fold_1.jsonl and perhaps NAME_valid_fold_1.jsonl: any .jsonl
    with the word in its name. Of several for a part the one that is called so wins: older lists lie beside it in EMO-DB
    and MER2023. A line's `key` is looked for among the clips' ids; failing that, the end of its `wav` among the clips'
    paths: the file's name without suffix, with as many folders before it as tell the clips apart. Clips that no line
    names stay unused.

    Returns:
        For each fold's number the positions in `utterances` of its parts: train, test, and validation where it has one.

    Raises:
        UserError: nothing to read, or lines that fit no clip.
    """
    folders = {
        int(match[1]): folder
        for folder in path.glob("fold*")
        if folder.is_dir() and (match := re.fullmatch(r"fold_?(\d+)", folder.name))
    }
    if not folders:
        raise UserError(f"--folds.path {path}: it is neither a folds.json nor a folder that holds fold_1, fold_2 ...")
    ends = [_ends(clip.path) for clip in utterances]
    counts = Counter(end for each in ends for end in each)
    by_end = {end: i for i, each in enumerate(ends) for end in each if counts[end] == 1}
    by_id = {clip.id: i for i, clip in enumerate(utterances)}
    return {number: _read_fold(folders[number], by_id, by_end) for number in sorted(folders)}


def _ends(path: PurePath) -> list[str]:
    """Return a path's name without suffix, and with up to three folders before it."""
    parts = (*path.parts[:-1], path.stem)
    return ["/".join(parts[-length:]) for length in range(1, min(_LONGEST, len(parts)) + 1)]


def _read_fold(folder: Path, by_id: Mapping[str, int], by_end: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    lists: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.jsonl")):
        # The last word decides: a corpus may itself be called after one.
        words = [_PART_OF_WORD[word] for word in re.split(r"[^a-z]+", path.stem.lower()) if word in _PART_OF_WORD]
        if words:
            lists.setdefault(words[-1], []).append(path)
    parts: dict[str, tuple[int, ...]] = {}
    for part, paths in lists.items():
        chosen = [path for path in paths if re.search(r"_[a-z]+_fold_\d+$", path.stem)] or paths
        if len(chosen) > 1:
            raise UserError(
                f"{folder}: two files hold its {part} part, one is {chosen[-1].name}; leave only one there."
            )
        parts[part] = _read_part(chosen[0], by_id, by_end)
    for part in ("train", "test"):
        if part not in parts:
            raise UserError(f"{folder}: no .jsonl file has the word {part} in its name; add the fold's {part} part.")
    return parts


def _read_part(path: Path, by_id: Mapping[str, int], by_end: Mapping[str, int]) -> tuple[int, ...]:
    clips, unknown = set(), []
    for number, line in read_lines(path, remedy="correct --folds.path"):
        if not line.strip():
            continue
        try:
            row = parse_json(line, f"{path}:{number}", remedy="correct the line")
            key, ends = str(row["key"]), _ends(PurePosixPath(str(row.get("wav", ""))))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UserError(f"{path}:{number}: each line must be a JSON object with a key; correct this one.") from None
        clip = by_id.get(key, next((by_end[end] for end in reversed(ends) if end in by_end), None))
        if clip is None:
            unknown.append(key)
        else:
            clips.add(clip)
    if unknown:
        raise UserError(
            f"{path}: {len(unknown)} clips of the list are not among the recordings ({one_of(unknown)}); use the "
            "recordings and labels that these folds were made for, or make new folds."
        )
    return tuple(sorted(clips))
