"""Files that a list names: found below its folder where they are not where it says, and their clips' ids."""

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from serjax.audio.kinds import AUDIO_SUFFIXES
from serjax.data.corpora.folders import walk
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError, one_of


def look_below(root: Path, names: Sequence[str], where: Path) -> tuple[dict[str, Path], list[str]]:
    """Return sound files below root by the paths that a list gives, and a sentence on where they are; those it finds.

    A path stands for the file that it names once a folder is put before it, or a suffix behind it, or both.

    Args:
        root: a folder on a disk.
        names: relative paths, none of which is a file.
        where: the list, for messages.

    Raises:
        UserError: a path stands for several files.
    """
    files = defaultdict(list)
    for file in sorted(walk(root)):
        if file.suffix.lower() in AUDIO_SUFFIXES:
            below = file.relative_to(root)
            files[below.name].append(below)
            files[below.stem].append(below)
    found: dict[str, Path] = {}
    folders: Counter[str] = Counter()
    suffixes: Counter[str] = Counter()
    for name in names:
        wanted = PurePosixPath(name)
        if wanted.is_absolute() or not wanted.parts:
            continue
        tail = wanted.parts
        there = [
            below
            for below in files[wanted.name]
            if tail in (below.parts[-len(tail) :], below.with_suffix("").parts[-len(tail) :])
        ]
        if len(there) > 1:
            raise UserError(
                f"{where}: {name} may be any of the files {one_of([str(below) for below in there])}; write paths that "
                "are each of one file, or say with --data.audio-root where they start."
            )
        for below in there:
            found[name] = root / below
            folders[Path(*below.parts[: -len(tail)]).as_posix()] += 1
            suffixes["" if below.name == wanted.name else below.suffix] += 1
    if not found:
        return {}, []
    kinds = sorted(suffix for suffix in suffixes if suffix)
    put = f", with {one_of(kinds)} behind them" if kinds else ""
    place = one_of([f"{folder}/" for folder in sorted(folders)]) if set(folders) != {"."} else "the list's own folder"
    return found, [f"No file lies where the list says; those in {place}{put} are taken."]


def with_relative_ids(clips: list[Utterance]) -> list[Utterance]:
    """Return the clips, where ids that are absolute paths begin below the folder that they have in common.

    Ids are then the same wherever the recordings lie. Where one would be another clip's, all of these begin with the
    folder's name, or with those above it too.
    """
    absolute = [clip.id for clip in clips if clip.id.startswith("/")]
    if not absolute:
        return clips
    common = PurePosixPath(os.path.commonpath([PurePosixPath(name).parent for name in absolute]))
    others = {clip.id for clip in clips if not clip.id.startswith("/")}
    for start in (common, *common.parents):
        ids = {name: PurePosixPath(name).relative_to(start).as_posix() for name in absolute}
        if others.isdisjoint(ids.values()):
            break
    return [replace(clip, id=ids[clip.id]) if clip.id in ids else clip for clip in clips]
