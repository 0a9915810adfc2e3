"""Files below a folder of recordings, and the names of their clips."""

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from functools import cache
from pathlib import Path
from typing import cast

from serjax.audio.kinds import AUDIO_SUFFIXES, RAW_SUFFIXES, UNREADABLE_SUFFIXES, VIDEO_SUFFIXES, kind_of
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError, one_of, reason
from serjax.runtime.remote import RemotePath

log = logging.getLogger(__name__)


def audio_files(root: Path) -> tuple[list[Path], list[str]]:
    """Return all sound files below `root`, sorted, as absolute paths, and notes on what cannot be read.

    Links are followed. Hidden files and folders, and what macOS adds to archives, are not looked at.

    Raises:
        UserError: there is none, or two differ in their suffix alone.
    """
    root = root.absolute()
    everything = sorted(walk(root))
    files = of_kind(root, everything, AUDIO_SUFFIXES)
    others = Counter(path.suffix.lower() for path in everything if path.suffix.lower() in UNREADABLE_SUFFIXES)
    more = _more_sounds(everything)
    unread = one_of([f"{count} {suffix} files" for suffix, count in sorted(others.items())])
    if not files:
        raise UserError(
            f"--data.root {root}: there are no sound files below it; "
            + (f"convert its {unread} to FLAC or WAV." if others else "give the folder that holds the recordings.")
        )
    notes = [f"{unread} are left out, as libsndfile does not read them."] if others else []
    if more:
        listing = one_of([f"{count} {suffix or 'files without a suffix'}" for suffix, count in sorted(more.items())])
        notes.append(
            f"{listing} seem to be recordings and are left out, as their suffix is none of those that are read."
        )
    return files, notes


def _more_sounds(files: Sequence[Path]) -> Counter[str]:
    """Count files of other suffixes that hold sound, by their suffix; one file of each is looked at."""
    found: Counter[str] = Counter()
    known: dict[str, bool] = {}
    for path in files:
        suffix = path.suffix.lower()
        if suffix in AUDIO_SUFFIXES | UNREADABLE_SUFFIXES:
            continue
        if suffix not in known:
            known[suffix] = suffix in RAW_SUFFIXES | VIDEO_SUFFIXES or _holds_sound(path)
        found[suffix] += known[suffix]
    return +found


def _holds_sound(path: Path) -> bool:
    if isinstance(path, RemotePath):
        return False
    try:
        return kind_of(path) in ("sound", "track")
    except UserError:
        return False


def of_kind(root: Path, paths: Sequence[Path], suffixes: Set[str]) -> list[Path]:
    """Return those of the paths that have one of the suffixes.

    Raises:
        UserError: some of them are not text, or two differ in their suffix alone.
    """
    files = [path for path in paths if path.suffix.lower() in suffixes]
    unnamed = [ascii(path.name) for path in files if not _is_text(path)]
    if unnamed:
        raise UserError(
            f"--data.root {root}: {len(unnamed)} of its paths are not UTF-8 ({one_of(unnamed)}); rename them, say with "
            "convmv."
        )
    first: dict[str, Path] = {}
    for path in files:
        other = first.setdefault(clip_id(path, root), path)
        if other is not path:
            raise UserError(
                f"--data.root {root}: {other.relative_to(root)} and {path.relative_to(root)} would both be the clip "
                f"{clip_id(path, root)}; rename or move one of them."
            )
    return files


def _is_text(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def clip_id(path: Path, root: Path) -> str:
    """Return the path below `root` without its suffix, with slashes on every system."""
    return path.relative_to(root).with_suffix("").as_posix()


def label_files(root: Path, files: Sequence[Path]) -> list[Utterance]:
    """Return clips whose labels are yet to be found, by a pattern."""
    return [Utterance(id=clip_id(path, root.absolute()), path=path, label="") for path in files]


_SYSTEM = frozenset(("__macosx", "@eadir", "#recycle", "$recycle.bin", "lost+found", "system volume information"))
"""Folders of operating systems and network disks, in lower case."""


def is_hidden(below: Path) -> bool:
    """Return whether a path below a root is hidden, or in a folder that is or that an operating system made."""
    return any(part.startswith(".") or part.lower() in _SYSTEM for part in below.parts)


def walk(root: Path, *, hidden: bool = False) -> Iterator[Path]:
    """Yield the visible files below root, or all, those of higher folders first.

    Links are followed, but for those that lead back up: what lies below them would be read a second time, under
    another folder's name. A folder that several ways lead to is read once, by the shortest. Pipes and devices are no
    files. Each of these is said.

    Raises:
        UserError: a folder cannot be read.
    """
    if isinstance(root, RemotePath):
        try:
            for file in root.walk():
                if hidden or not is_hidden(file.relative_to(root)):
                    yield cast(Path, file)
        except OSError as error:
            raise UserError(f"{root}: it cannot be listed ({reason(error)}); correct the URL.") from None
        return
    start = root.resolve()
    entered = {start: root}
    level = [(root, start)]
    while level:
        below: list[tuple[Path, Path]] = []
        for folder, real in level:
            for entry in _entries(folder):
                path = folder / entry.name
                if not hidden and is_hidden(Path(entry.name)):
                    continue
                if not _is(entry.is_dir):
                    if _is(entry.is_file) or not path.exists():  # a link that leads nowhere is told when it is opened
                        yield path
                    else:
                        _tell(f"{path}: it is a pipe or a device, no file; it is left out.")
                    continue
                target = path.resolve() if entry.is_symlink() else real / entry.name
                if real.is_relative_to(target) or start.is_relative_to(target):
                    _tell(f"{path}: it is a link that leads back up, to {target}; it is left out.")
                elif target in entered:
                    _tell(f"{path}: it is the same folder as {entered[target]}, and is read once, as that.")
                else:
                    entered[target] = path
                    below.append((path, target))
        level = below


@cache
def _tell(sentence: str) -> None:
    """Log a sentence once, however often a folder is walked."""
    log.warning(sentence)


def _is(kind: Callable[[], bool]) -> bool:
    try:
        return kind()
    except OSError:  # links that lead to one another
        return False


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(
            f"{folder}: the folder cannot be read ({reason(error)}); give yourself the right to read it, or move it "
            "away."
        ) from None
