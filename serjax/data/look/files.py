"""Files below a folder by their names alone: recordings, and what is hidden, foreign, empty or not read."""

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from serjax.audio.kinds import AUDIO_SUFFIXES, UNREADABLE_SUFFIXES, VIDEO_SUFFIXES
from serjax.data.corpora.folders import is_hidden, walk
from serjax.data.utterance import Utterance
from serjax.runtime.errors import readable
from serjax.runtime.remote import RemotePath

_ARCHIVES = frozenset((".zip", ".tar", ".gz", ".tgz", ".rar", ".7z", ".bz2", ".xz"))
_FOREIGN = frozenset(("thumbs.db", "desktop.ini", "icon\r"))


class Files(NamedTuple):
    """Files below a folder; names are relative to it.

    Attributes:
        sounds: visible files that libsndfile reads by their suffix, sorted, absolute.
        unread: numbers of visible recordings and videos that it does not read, by suffix.
        others: numbers of other visible files by suffix.
        hidden: files that are hidden, in hidden folders, or that an operating system left.
        archives: files that may hold more.
        empty: sound files of 0 bytes.
    """

    sounds: tuple[Path, ...]
    unread: Mapping[str, int]
    others: Mapping[str, int]
    hidden: tuple[str, ...]
    archives: tuple[str, ...]
    empty: tuple[str, ...]


def look_at_files(root: Path) -> Files:
    """Return what lies below a folder; no file is opened.

    Raises:
        OSError: the folder of a URL cannot be listed.
    """
    root = root.absolute()
    sounds, hidden, archives, empty = [], [], [], []
    unread: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for path in walk(root, hidden=True):
        below, suffix = path.relative_to(root), path.suffix.lower()
        name = readable(below.as_posix())
        foreign = path.name.lower() in _FOREIGN
        if foreign or is_hidden(below):
            hidden.append(name)
        elif suffix in AUDIO_SUFFIXES:
            sounds.append(path)
            if not isinstance(path, RemotePath) and _size(path) == 0:
                empty.append(name)
        elif suffix in UNREADABLE_SUFFIXES | VIDEO_SUFFIXES:
            unread[suffix] += 1
        elif suffix in _ARCHIVES:
            archives.append(name)
        else:
            others[readable(suffix)] += 1
    texts = [tuple(sorted(one)) for one in (hidden, archives, empty)]
    return Files(tuple(sorted(sounds)), dict(unread), dict(others), *texts)


def as_clips(files: Files, root: Path) -> list[Utterance]:
    """Return the recordings as clips whose labels are the first folders in which they differ, "" for loose ones.

    It is for folders that cannot be read as a corpus.
    """
    root = root.absolute()
    top = root
    if files.sounds and not isinstance(root, RemotePath):
        top = Path(os.path.commonpath([path.parent for path in files.sounds]))
    clips = []
    for path in files.sounds:
        inside = path.relative_to(top).parts if path.is_relative_to(top) else path.parts
        label = readable(inside[0]) if len(inside) > 1 else ""
        clips.append(Utterance(readable(path.relative_to(root).as_posix()), path, label))
    return clips


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:  # a link that leads nowhere
        return None
