"""Folders of recordings: a folder a class, or corpora whose file names say everything."""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence, Set
from pathlib import Path
from typing import cast

from serjax.audio.decode import AUDIO_SUFFIXES, UNREADABLE_SUFFIXES
from serjax.data.corpora.attributes import read_people
from serjax.data.corpora.filenames import (
    parse_cremad,
    parse_emodb,
    parse_nemo,
    parse_ravdess,
    parse_savee,
    sentence_of,
)
from serjax.data.corpora.names import PARTS
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


def read_classes(root: Path, files: Sequence[Path]) -> list[Utterance]:
    """Label every file with the first folder below `root` that holds it, or below its only folder where all is there.

    Raises:
        UserError: files outside of all classes, a single class, or folders that are parts of a corpus.
    """
    root = root.absolute()
    top = _top(root, files)
    loose = [path.name for path in files if path.parent == top]
    if loose:
        raise UserError(
            f"--data.root {top}: {len(loose)} files lie directly in it and have no label ({one_of(loose)}); "
            "move them into a folder a class, give a list of paths and labels, or say with --data.label-pattern where "
            "their names hold the label."
        )
    clips = [Utterance(id=clip_id(path, root), path=path, label=path.relative_to(top).parts[0]) for path in files]
    classes = sorted({clip.label for clip in clips})
    if all(name.lower() in PARTS for name in classes):
        raise UserError(
            f"--data.root {top}: its folders {one_of(classes)} are parts of a corpus, not classes; give one of them, "
            "or a list of paths and labels."
        )
    if len(classes) == 1:
        raise UserError(
            f"--data.root {top}: {classes[0]} is its only folder and so the only class; give the folder that holds a "
            "folder a class, two or more."
        )
    return clips


def _top(root: Path, files: Sequence[Path]) -> Path:
    """Return the folder that holds the classes: root, or where all lies in the folders of one folder below, that."""
    top = root
    while True:
        names = {path.relative_to(top).parts[0] for path in files}
        only = top / next(iter(names))
        parents = {path.parent for path in files}
        if len(names) > 1 or top in parents or (only in parents and only.name.lower() not in PARTS):
            return top
        top = only


def passed_through(root: Path, files: Sequence[Path]) -> list[str]:
    """Return a sentence where the only folder below root was looked through for the classes; none elsewhere."""
    root = root.absolute()
    top = _top(root, files)
    return [] if top == root else [f"All lies in {top.relative_to(root).as_posix()}, whose folders are the classes."]


def label_files(root: Path, files: Sequence[Path]) -> list[Utterance]:
    """Return clips whose labels are yet to be found, by a pattern."""
    return [Utterance(id=clip_id(path, root.absolute()), path=path, label="") for path in files]


def _ravdess(stem: str) -> tuple[str, str] | None:
    name = parse_ravdess(stem)
    return (name.actor, name.emotion) if name else None


def _emodb(stem: str) -> tuple[str, str] | None:
    name = parse_emodb(stem)
    return (name.speaker, name.emotion) if name else None


def _cremad(stem: str) -> tuple[str, str] | None:
    name = parse_cremad(stem)
    return (name.speaker, name.emotion) if name else None


def _savee(stem: str) -> tuple[str, str] | None:
    name = parse_savee(stem)
    return (name.speaker, name.emotion) if name else None


def _nemo(stem: str) -> tuple[str, str] | None:
    name = parse_nemo(stem)
    return (name.speaker, name.emotion) if name else None


NAMED: dict[str, tuple[str, Callable[[str], tuple[str, str] | None]]] = {
    "ravdess": ("RAVDESS", _ravdess),
    "emodb": ("EMO-DB", _emodb),
    "cremad": ("CREMA-D", _cremad),
    "savee": ("SAVEE", _savee),
    "nemo": ("nEMO", _nemo),
}
"""Corpora told by their file names: what they are called, and `name_of` a file -> (speaker, emotion) or None."""


def name_of(path: Path, kind: str) -> str:
    """Return a file's name without suffix; in SAVEE, where speakers have folders, with the speaker before it."""
    whole = f"{path.parent.name}_{path.stem}"
    return whole if kind == "savee" and _savee(whole) else path.stem


def recognise(root: Path, files: Sequence[Path]) -> str | None:
    """Return the key of `NAMED` whose names all files have, None where no corpus's are.

    Raises:
        UserError: most files have a corpus's names and some have not.
    """
    for kind, (title, parse) in NAMED.items():
        others = [path for path in files if not parse(name_of(path, kind))]
        if not others:
            return kind
        if len(others) < len(files) / 2:
            raise UserError(
                f"--data.root {root}: {len(files) - len(others)} of {len(files)} file names are those of {title}, "
                f"others are not ({_listing(others, root)}); move or rename them, or say "
                "--data.corpus folder."
            )
    return None


def require_names(root: Path, files: Sequence[Path], kind: str) -> None:
    """Raise a `UserError` where files have other names than those of the corpus `kind`."""
    title, parse = NAMED[kind]
    others = [path for path in files if not parse(name_of(path, kind))]
    if others:
        raise UserError(
            f"--data.root {root}: {len(others)} file names are not those of {title} ({_listing(others, root)}); "
            "move them away, or choose another --data.corpus."
        )


def read_named(
    root: Path, files: Sequence[Path], kind: str, *, folders_label: bool
) -> tuple[list[Utterance], bool, list[str]]:
    """Read speakers and labels from file names.

    The published copy of RAVDESS on Kaggle holds every file twice; of files of one name the first is kept.

    Args:
        root: the folder below which the files are.
        files: sorted.
        kind: a key of `NAMED`.
        folders_label: take labels from the folders below root where these sort the clips by emotion.

    Returns:
        The clips, whether folders gave their labels, and notes.

    Raises:
        UserError: names that are not the corpus's.
    """
    root = root.absolute()
    require_names(root, files, kind)
    title, parse = NAMED[kind]
    kept = {name_of(path, kind): path for path in reversed(files)}
    names = {name: fields for name in kept if (fields := parse(name))}
    top = _top(root, files)
    folders = defaultdict(set)
    for name, path in kept.items():
        folders[names[name][1]].add(path.relative_to(top).parts[0] if path.parent != top else None)
    # Folders of speakers, sessions or parts have an emotion in several of them; classes, merged ones too, in one.
    found = set.union(*folders.values())
    by_folder = folders_label and all(len(f) == 1 for f in folders.values()) and len(found) > 1 and None not in found
    people = read_people(root, kind)
    clips = [
        Utterance(
            id=clip_id(path, root),
            path=path,
            label=path.relative_to(top).parts[0] if by_folder else names[name][1],
            speaker=names[name][0],
            text=sentence_of(name),
            attributes=people.known.get(names[name][0], ()),
        )
        for name, path in sorted(kept.items(), key=lambda item: item[1])
    ]
    source = "labels are the folders' names, speakers" if by_folder else "labels and speakers"
    notes = [f"{title} by its file names: {source} are read from the names.", *people.notes]
    if len(kept) < len(files):
        notes.append(f"{len(files) - len(kept)} files that bear the name of another one are left out.")
    return clips, by_folder, notes


def walk(root: Path) -> Iterator[Path]:
    """Yield all visible files below root; a folder that links lead to twice is entered once."""
    if isinstance(root, RemotePath):
        for file in root.walk():
            below = file.relative_to(root).parts
            if not any(part.startswith(".") or part == "__MACOSX" for part in below):
                yield cast(Path, file)
        return
    entered: set[Path] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = Path(folder).resolve()
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        yield from (Path(folder, name) for name in names if not name.startswith("."))


def _listing(paths: Sequence[Path], root: Path) -> str:
    return one_of([clip_id(path, root.absolute()) for path in paths])
