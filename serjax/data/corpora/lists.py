"""Lists of clips: read, checked, and their files found."""

import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from serjax.data.corpora.attributes import age_band, gender_of, plain_text, shared
from serjax.data.corpora.columns import parse_columns
from serjax.data.corpora.label_names import folded, is_missing, missing_error
from serjax.data.corpora.list_formats import READERS, Entry, ListKind, Reading
from serjax.data.corpora.listed_files import look_below, with_relative_ids
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError, one_of
from serjax.runtime.remote import as_path, exists_once, is_remote


class Listed(NamedTuple):
    """Result of `read_list`.

    Attributes:
        utterances: the clips in the list's order.
        notes: sentences on columns that were guessed or are not used, and on where the files were found.
    """

    utterances: list[Utterance]
    notes: list[str]


def read_list(
    path: Path,
    kind: ListKind,
    *,
    audio_root: Path | None = None,
    skip_missing: bool = False,
    columns: Sequence[str] = (),
    labelled: bool = True,
    asked: Collection[str] | None = (),
) -> Listed:
    """Read a list of clips.

    - tsv: `path<TAB>label` a line; labels are kept as they are written, integers ("0", "1") too. Or a header, and
      columns as in csv, between tabs and without quoting.
    - scp: `name path label` a line, separated by white space or, in the whole file, by commas.
    - csv: a header with columns for path and label, and optionally id, speaker, session, start and end (in s), text
      (the sentence), gender and age (in years, kept in bands of ten), arousal, valence and dominance, under these
      names, others that are known for them (`FIELDS`, `VALUES`), or those that `columns` gives, which may be of
      any other value and of votes. Separated by commas, or by tabs or semicolons where the header has
      no comma.
    - jsonl: one JSON object a line with the keys of EmoBox (github.com/emo-box/EmoBox): key, wav and emo, optionally
      start_time and end_time (or start and end, in s), spk (or speaker, or another name known for it), session, text,
      gender (or sex) and age.

    A clip's id is its name, id or key; without one it is the path as written, without its suffix, and the stretch. Of
    absolute paths it is what lies below the root, or else below the folder that all such files have in common, so that
    ids are the same on other machines.

    Where no path of the list is a file, files below the root are taken whose names these are once a folder is put
    before them or a suffix behind, if each path has only one.

    Args:
        path: the list, in UTF-8.
        kind: its format.
        audio_root: where relative paths start, a folder or a URL; by default the folder that holds the list.
        skip_missing: keep clips whose files do not exist, for a store that will skip them; where not one file exists
            it is an error all the same.
        columns: words such as `speaker=speaker_id`: what a column of the list holds.
        labelled: whether every clip must have a label; else it is empty where the list has none.
        asked: labels that count as such although they look like missing ones, as `folded`; None: all do.

    Raises:
        UserError: the list cannot be read, lacks a field or labels, gives an id twice, or names files that do not
            exist.
    """
    given = parse_columns(columns)
    if given and kind == "scp":
        raise UserError(f"{path}: a list of the format scp has no columns; leave out --data.columns.")
    root = (audio_root or path.parent).absolute()
    files: dict[str, _File] = {}
    exists = exists_once()
    reading = Reading(given, labelled)
    seen: dict[str, int] = {}
    utterances: list[Utterance] = []
    missing: list[str] = []
    unlabelled: list[str] = []
    for entry in READERS[kind](path, reading):
        # Clips are often stretches of one file, which is looked for once.
        file = files.get(entry.path) or files.setdefault(entry.path, _find(entry.path, root, exists))
        clip = _utterance(entry, path, file)
        if labelled and is_missing(clip.label, (clip.label and folded(clip.label),) if asked is None else asked):
            unlabelled.append(f"line {entry.line}: {ascii(clip.label) if clip.label else 'empty'}")
        if clip.id in seen:
            raise UserError(
                f"{path}:{entry.line}: the id {clip.id} stands in line {seen[clip.id]} already; "
                "give every clip an id of its own or delete one of the lines."
            )
        seen[clip.id] = entry.line
        utterances.append(clip)
        if not file.exists:
            missing.append(f"line {entry.line}: {entry.path}")
    if not utterances:
        raise UserError(f"{path}: the list has no entry; write one clip a line.")
    if unlabelled:
        raise missing_error(str(path), unlabelled, len(utterances))
    if len(missing) == len(utterances) and not is_remote(root):
        found, notes = look_below(root, list(files), path)
        moved = {files[name].path: file for name, file in found.items()}
        missing = [line for line, clip in zip(missing, utterances, strict=True) if clip.path not in moved]
        utterances = [replace(clip, path=moved.get(clip.path, clip.path)) for clip in utterances]
        reading.notes += notes
    if missing and not (skip_missing and len(missing) < len(utterances)):
        raise UserError(
            f"{path}: {len(missing)} of its {len(utterances)} files do not exist ({one_of(missing)}); relative paths "
            f"start at {root}, so correct them or say with --data.audio-root where they start."
        )
    return Listed(with_relative_ids(utterances), reading.notes)


class _File(NamedTuple):
    """A file that a list names: its absolute path, its name in ids, and whether it is there."""

    path: Path
    id: str
    exists: bool


def _find(name: str, root: Path, exists: Callable[[Path], bool]) -> _File:
    file = as_path(name, below=root)  # an absolute path, or a URL, replaces root
    written = file.relative_to(root) if file.is_relative_to(root) else file if is_remote(file) else Path(name)
    return _File(file, written.with_suffix("").as_posix() if written.name else name, exists(file))


def _utterance(entry: Entry, path: Path, file: _File) -> Utterance:
    """Check an entry and give it its id and absolute path."""
    where = f"{path}:{entry.line}"
    if not entry.path or entry.id == "":
        empty = "id" if entry.path else "path"
        raise UserError(f"{where}: the {empty} of {entry.id or entry.path or 'this clip'} is empty; fill it in.")
    start = 0.0 if entry.start is None else entry.start
    if start < 0 or (entry.end is not None and entry.end <= start):
        raise UserError(
            f"{where}: the stretch of {entry.id or entry.path} goes from {start:g} s to {entry.end} s; "
            "give a start from 0 on and a later end."
        )
    stretch = "" if entry.start is None and entry.end is None else f"[{start:g}-{entry.end or ''}]"
    return Utterance(
        id=entry.id or file.id + stretch,
        path=file.path,
        # One object for all clips that have the same.
        label=sys.intern(entry.label),
        speaker=sys.intern(entry.speaker) if entry.speaker else None,
        session=sys.intern(entry.session) if entry.session else None,
        start=start,
        end=entry.end,
        text=plain_text(entry.text) if entry.text else None,
        attributes=shared(gender_of(entry.gender or ""), age_band(entry.age or "", f"{where}: the age")),
        values=entry.values,
        votes=entry.votes,
    )
