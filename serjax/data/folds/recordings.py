"""Recordings that clips are of: stretches of one file, files of one recording, and copies that sound alike."""

import hashlib
import math
import os
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from serjax.data.corpora.filenames import LAYOUTS
from serjax.data.utterance import Utterance
from serjax.runtime.errors import one_of
from serjax.runtime.remote import is_remote


class Kept(NamedTuple):
    """Clips that stand on one side of a fold, whatever divides the others.

    Attributes:
        clips: positions, ascending, two or more.
        why: they are kept together.
    """

    clips: tuple[int, ...]
    why: str


OVERLAP = "are stretches of one recording that overlap"
VERSIONS = "are files of one recording by their names"
ALIKE = "sound alike, as a recording does at another speed, level or pitch, or with noise"


def recordings(utterances: Sequence[Utterance], kept: Sequence[Kept] = ()) -> list[int]:
    """Return for each clip the first clip of its recording: that of its file, and of those it is kept together with."""
    first = list(range(len(utterances)))
    files: dict[Hashable, int] = {}
    for i, file in enumerate(_files(utterances)):
        if file is not None:
            first[i] = files.setdefault(file, i)
    return _joined(first, (group.clips for group in kept)) if kept else first


def kept_together(utterances: Sequence[Utterance], alike: Sequence[Sequence[int]] = ()) -> list[Kept]:
    """Return clips that must never be divided: overlapping stretches, files of one recording, and copies.

    The files of one recording are told by their names: of RAVDESS the video (01-) and the sound (03-), of other corpora
    the same name in several folders.

    Args:
        utterances: the clips.
        alike: groups of positions whose sound is nearly the same.
    """
    found = [Kept(tuple(group), OVERLAP) for group in _overlapping(utterances)]
    found += [Kept(tuple(group), VERSIONS) for group in _versions(utterances)]
    return found + [Kept(tuple(sorted(group)), ALIKE) for group in alike]


def describe(kept: Sequence[Kept], utterances: Sequence[Utterance], left_out: Counter[int]) -> list[str]:
    """Return a sentence for each reason why clips are kept together.

    Args:
        kept: the clips.
        utterances: all clips.
        left_out: in how many folds' training or validation each clip is left out for it.
    """
    notes = []
    for why in dict.fromkeys(group.why for group in kept):
        groups = [group.clips for group in kept if group.why == why]
        names = one_of([" = ".join(utterances[i].id for i in group[:3]) for group in groups], 3)
        count = sum(map(len, groups))
        gone = sum(1 for group in groups for i in group if left_out[i])
        differ = sum(len({utterances[i].label for i in group}) > 1 for group in groups)
        end = (
            f"{gone} of them are left out of training or validation where others are tested."
            if gone
            else ("each group stands on one side of every fold.")
        )
        labels = f" {differ} of the groups have several labels." if differ else ""
        notes.append(f"{count} clips in {len(groups)} groups {why} ({names}); {end}{labels}")
    return notes


def _joined(first: list[int], groups: Iterable[Sequence[int]]) -> list[int]:
    """Return the first member of each clip's set once groups are joined (union-find)."""

    def find(i: int) -> int:
        while first[i] != i:
            first[i] = first[first[i]]
            i = first[i]
        return i

    for group in groups:
        for other in group[1:]:
            one, two = sorted((find(group[0]), find(other)))
            first[two] = one
    return [find(i) for i in range(len(first))]


def _files(utterances: Sequence[Utterance]) -> list[Hashable]:
    """Return what is equal for clips of one file, however its path is written; None for clips of no file.

    Links are followed. Of clips that are stretches, files of equal bytes are one: the samples of two stretches do not
    show that they overlap.
    """
    paths = {str(clip.path): clip.path for clip in utterances if clip.path.name}
    known: dict[str, Hashable] = dict.fromkeys(paths)
    sizes: dict[int, dict[Hashable, Path]] = defaultdict(dict)
    for name, path in paths.items():
        known[name] = name
        if is_remote(path):
            continue
        try:
            found = os.stat(path)
        except (OSError, ValueError):  # told where it is decoded
            continue
        known[name] = found.st_dev, found.st_ino
        sizes[found.st_size].setdefault(known[name], path)
    if any(clip.start or clip.end is not None for clip in utterances):
        content = {file: _digest(path) for same in sizes.values() if len(same) > 1 for file, path in same.items()}
        known = {name: content.get(file) or file for name, file in known.items()}
    return [known[str(clip.path)] if clip.path.name else None for clip in utterances]


def _digest(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").hexdigest()
    except OSError:
        return None


def _overlapping(utterances: Sequence[Utterance]) -> list[list[int]]:
    """Return groups of clips of one file that overlap, each with the next one."""
    files = defaultdict(list)
    for i, file in enumerate(_files(utterances)):
        if file is not None:
            files[file].append(i)
    found = []
    for clips in files.values():
        if len(clips) < 2:
            continue
        group: list[int] = []
        reach = -math.inf
        for i in sorted(clips, key=lambda i: utterances[i].start):
            end = utterances[i].end
            if utterances[i].start >= reach:
                group = []
                found.append(group)
            group.append(i)
            reach = max(reach, math.inf if end is None else end)
    return [sorted(group) for group in found if len(group) > 1]


def _versions(utterances: Sequence[Utterance]) -> list[list[int]]:
    """Return groups of clips in several files that are of one recording by the names of a corpus."""
    files = {str(clip.path): clip.path for clip in utterances if clip.path.name}
    counts = Counter(path.stem for path in files.values())
    places = defaultdict(list)
    for i, clip in enumerate(utterances):
        stem = clip.path.stem
        ravdess = LAYOUTS["ravdess"].parse(stem) if stem.count("-") == 6 else None
        if ravdess is not None:
            places["ravdess", ravdess.key].append(i)
        elif counts[stem] > 1 and any(one.parse(stem) for one in LAYOUTS.values() if not one.within):
            places["", (stem,)].append(i)
    return [group for group in places.values() if len({str(utterances[i].path) for i in group}) > 1]
