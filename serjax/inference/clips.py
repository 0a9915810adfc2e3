"""Clips that a command line names: files, folders of recordings, and lists of paths."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from serjax.audio.kinds import AUDIO_SUFFIXES, TRACK_SUFFIXES
from serjax.data.corpora.columns import FIELDS, plain
from serjax.data.corpora.folders import walk
from serjax.runtime.errors import UserError, one_of
from serjax.runtime.remote import as_path, is_remote
from serjax.runtime.text import read_lines, read_rows

RECORDINGS = AUDIO_SUFFIXES | TRACK_SUFFIXES
"""Suffixes, in lower case, of the files that are looked for in folders."""

LISTS = {".txt": "\t", ".tsv": "\t", ".csv": ","}
"""Suffixes of lists, and what separates their columns."""


class Named(NamedTuple):
    """A clip to be answered: its name in the answers, and its path or URL."""

    name: str
    path: str


def find_clips(given: Sequence[str]) -> tuple[list[Named], list[str]]:
    """Return the clips that arguments stand for, in their order, and sentences on what is not used of them.

    A folder stands for all recordings below it, sorted, named by their paths in it; a list (.txt, .tsv, .csv, or any
    file as @FILE) for the paths in it, named as they are written. Where two clips would get one name, both get their
    whole paths.

    Raises:
        UserError: a folder without recordings, or a list that cannot be read or names no column of paths.
    """
    found: list[Named] = []
    notes: list[str] = []
    for one in given:
        if one.startswith("@"):
            found += _listed(as_path(one[1:]), notes)
        elif Path(one).suffix.lower() in LISTS:
            found += _listed(as_path(one), notes)
        elif Path(one).suffix.lower() not in RECORDINGS and as_path(one).is_dir():
            found += _below(as_path(one))
        else:
            found.append(Named(one, one))
    counts = Counter(clip.name for clip in found)
    return [clip if counts[clip.name] == 1 else clip._replace(name=clip.path) for clip in found], notes


def _below(folder: Path) -> list[Named]:
    """Return the recordings below a folder."""
    paths = sorted(path for path in walk(folder) if path.suffix.lower() in RECORDINGS)
    if not paths:
        raise UserError(f"{folder}: there are no recordings below it; give the folder that holds them.")
    return [Named(path.relative_to(folder).as_posix(), str(path)) for path in paths]


def _listed(path: Path, notes: list[str]) -> list[Named]:
    """Return the clips of a list; what is not used of it is added to `notes`."""
    separator = LISTS.get(path.suffix.lower(), "\t")
    if separator == ",":
        rows = [row for _, row in read_rows(path, separators=",")]
    else:  # quotes are part of a name where tabs separate
        rows = [line.split(separator) for _, line in read_lines(path)]
    rows = [row for row in rows if any(map(str.strip, row))]
    if not rows:
        raise UserError(f"{path}: the list has no entry; write a path a line.")
    column = _column(path, rows)
    if column is not None:
        header, *rows = rows
        others = [name.strip() for place, name in enumerate(header) if place != column]
    else:
        others = [f"{place + 1}" for place in range(1, max(map(len, rows)))]
    if others:
        notes.append(f"{path}: columns not used: {one_of(others)}.")
    place = column or 0
    short = next((number for number, row in enumerate(rows, 1) if len(row) <= place or not row[place].strip()), None)
    if short is not None:
        raise UserError(f"{path}: entry {short} has no path; fill it in.")
    names = [row[place].strip() for row in rows]
    return [Named(name, str(as_path(name, below=path.parent))) for name in names]


def _column(path: Path, rows: list[list[str]]) -> int | None:
    """Return which column holds the paths; None where there is no header, and the first one does.

    Raises:
        UserError: neither does a header say it, nor is the first entry a path.
    """
    header = [name.strip() for name in rows[0]]
    for name in FIELDS["path"]:
        if name in map(plain, header):
            return [plain(one) for one in header].index(name)
    first = rows[0][0].strip()
    if len(rows[0]) == 1 or is_remote(first) or Path(first).suffix.lower() in RECORDINGS:
        return None
    raise UserError(
        f"{path}: its first line ({one_of(header)}) neither names a column of paths nor begins with a "
        "recording's path; add a header with a column called path."
    )
