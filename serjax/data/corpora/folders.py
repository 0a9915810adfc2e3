"""Files below a folder of recordings, and the names of their clips."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from typing import cast

from serjax.audio.decode import AUDIO_SUFFIXES, UNREADABLE_SUFFIXES
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError, one_of
from serjax.runtime.remote import RemotePath


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
    unread = one_of([f"{count} {suffix} files" for suffix, count in sorted(others.items())])
    if not files:
        raise UserError(
            f"--data.root {root}: there are no sound files below it; "
            + (f"convert its {unread} to FLAC or WAV." if others else "give the folder that holds the recordings.")
        )
    return files, [f"{unread} are left out, as libsndfile does not read them."] if others else []


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


def is_hidden(below: Path) -> bool:
    """Return whether a path below a root is hidden, or in a folder that is or that macOS puts into archives."""
    return any(part.startswith(".") or part == "__MACOSX" for part in below.parts)


def walk(root: Path, *, hidden: bool = False) -> Iterator[Path]:
    """Yield the visible files below root, or all; a folder that links lead to twice is entered once."""
    if isinstance(root, RemotePath):
        for file in root.walk():
            if hidden or not is_hidden(file.relative_to(root)):
                yield cast(Path, file)
        return
    entered: set[Path] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = Path(folder).resolve()
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(name for name in folders if hidden or not is_hidden(Path(name)))
        yield from (Path(folder, name) for name in names if hidden or not name.startswith("."))
