"""Lists of clips: `path<TAB>label`, scp, CSV with a header, and EmoBox's JSON lines."""

import csv
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError, one_of
from serjax.runtime.remote import as_path, exists_once, is_remote

ListKind = Literal["tsv", "scp", "csv", "jsonl"]

LIST_SUFFIXES: Mapping[str, ListKind] = {
    ".tsv": "tsv",
    ".txt": "tsv",
    ".scp": "scp",
    ".csv": "csv",
    ".jsonl": "jsonl",
}
"""Format of a list by its suffix."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One clip as its list spells it; None stands for what the list leaves out."""

    line: int
    path: str
    label: str
    id: str | None = None
    speaker: str | None = None
    session: str | None = None
    start: float | None = None
    end: float | None = None


def read_list(
    path: Path, kind: ListKind, *, audio_root: Path | None = None, skip_missing: bool = False
) -> list[Utterance]:
    """Read a list of clips.

    - tsv: `path<TAB>label` a line; labels are kept as they are written, integers ("0", "1") too.
    - scp: `name path label` a line, separated by white space or, in the whole file, by commas.
    - csv: a header with the columns path and label, and optionally id, speaker, session, start and end (in s).
    - jsonl: one JSON object a line with the keys of EmoBox (github.com/emo-box/EmoBox): key, wav and emo, optionally
      start_time and end_time (or start and end, in s), spk (or speaker) and session. Others are not looked at.

    A clip's id is its name, id or key; without one it is the path as written, without its suffix, and the stretch.

    Args:
        path: the list, in UTF-8.
        kind: its format.
        audio_root: where relative paths start, a folder or a URL; by default the folder that holds the list.
        skip_missing: keep clips whose files do not exist, for a store that will skip them; where not one file exists
            it is an error all the same.

    Returns:
        The clips in the list's order.

    Raises:
        UserError: the list cannot be read, lacks a field, gives an id twice, or names files that do not exist.
    """
    root = (audio_root or path.parent).absolute()
    files: dict[str, _File] = {}
    exists = exists_once()
    seen: dict[str, int] = {}
    utterances: list[Utterance] = []
    missing: list[str] = []
    for entry in _READERS[kind](path):
        # Clips are often stretches of one file, which is looked for once.
        file = files.get(entry.path) or files.setdefault(entry.path, _find(entry.path, root, exists))
        clip = _utterance(entry, path, file)
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
    if missing and not (skip_missing and len(missing) < len(utterances)):
        raise UserError(
            f"{path}: {len(missing)} of its {len(utterances)} files do not exist ({one_of(missing)}); relative paths "
            f"start at {root}, so correct them or say with --data.audio-root where they start."
        )
    return utterances


class _File(NamedTuple):
    """A file that a list names: its absolute path, its name in ids, and whether it is there."""

    path: Path
    id: str
    exists: bool


def _find(name: str, root: Path, exists: Callable[[Path], bool]) -> _File:
    file = as_path(name, below=root)  # an absolute path, or a URL, replaces root
    written = file.relative_to(root) if file.is_relative_to(root) else file if is_remote(file) else Path(name)
    return _File(file, written.with_suffix("").as_posix() if written.name else name, exists(file))


def _utterance(entry: _Entry, path: Path, file: _File) -> Utterance:
    """Check an entry and give it its id and absolute path."""
    where = f"{path}:{entry.line}"
    if not entry.path or not entry.label or entry.id == "":
        empty = "path" if not entry.path else "label" if not entry.label else "id"
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
    )


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the number and text of every line that is not blank."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except OSError as error:
        raise UserError(f"{path}: the list cannot be read ({error.strerror}); correct its path.") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: the list is not UTF-8 text; save it as UTF-8.") from None


def _read_tsv(path: Path) -> Iterator[_Entry]:
    for number, line in _lines(path):
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) != 2:
            raise UserError(
                f"{path}:{number}: {fields[0]} comes with {len(fields)} tab-separated fields; expected path<TAB>label."
            )
        yield _Entry(number, path=fields[0], label=fields[1])


def _read_scp(path: Path) -> Iterator[_Entry]:
    commas = all(line.count(",") == 2 for _, line in _lines(path))
    for number, line in _lines(path):
        if commas:
            fields = [field.strip() for field in line.split(",")]
        else:  # a path may hold blanks, a name and a label may not
            name, _, rest = line.strip().replace("\t", " ").partition(" ")
            fields = [name, *rest.strip().rsplit(maxsplit=1)]
        if len(fields) != 3:
            raise UserError(
                f"{path}:{number}: {fields[0]} comes with {len(fields)} fields; expected `name path label`, "
                "separated by blanks or all by commas."
            )
        yield _Entry(number, path=fields[1], label=fields[2], id=fields[0])


def _read_csv(path: Path) -> Iterator[_Entry]:
    read: list[int] = []  # numbers of the lines of a row, as an editor counts

    def lines() -> Iterator[str]:
        for number, line in _lines(path):
            read.append(number)
            yield f"{line}\n"

    rows = csv.reader(lines())
    header = [column.strip() for column in next(rows, [])]
    for column in ("path", "label"):
        if column not in header:
            raise UserError(
                f"{path}:1: the column {column} is missing; found {one_of(header) or 'none'}. The header must name "
                "path and label, and may name id, speaker, session, start and end."
            )
    while True:
        del read[:-1]
        last = read[-1:]
        try:
            row = next(rows, None)
        except csv.Error as error:
            number = next(iter(read[len(last) :] or last), 1)
            raise UserError(f"{path}:{number}: this is not CSV ({error}); correct the line.") from None
        if row is None:
            return
        number = read[len(last)]
        if len(row) != len(header):
            raise UserError(
                f"{path}:{number}: {row[0]} comes with {len(row)} fields where the header has {len(header)}; "
                "correct the line, and quote fields that hold commas."
            )
        cells = {column: cell.strip() for column, cell in zip(header, row, strict=True)}
        name = cells.get("id") or cells["path"]
        yield _Entry(
            number,
            path=cells["path"],
            label=cells["label"],
            id=cells.get("id"),
            speaker=cells.get("speaker"),
            session=cells.get("session"),
            start=_seconds(cells.get("start"), f"{path}:{number}: the start of {name}"),
            end=_seconds(cells.get("end"), f"{path}:{number}: the end of {name}"),
        )


def _read_jsonl(path: Path) -> Iterator[_Entry]:
    for number, line in _lines(path):
        where = f"{path}:{number}"
        try:
            item = json.loads(line)
        except ValueError as error:
            raise UserError(f"{where}: this is not JSON ({error}); write one object a line.") from None
        if not isinstance(item, dict):
            raise UserError(f"{where}: this is not a JSON object; write one with the keys key, wav and emo.")
        for key in ("key", "wav", "emo"):
            if not isinstance(item.get(key), (str, int)) or isinstance(item[key], bool):
                name = item.get("key", "this clip")
                raise UserError(
                    f"{where}: {name} has no {key}, or none that is text; found the keys {one_of(list(item))}."
                )
        name = str(item["key"])
        yield _Entry(
            number,
            path=str(item["wav"]),
            label=str(item["emo"]),
            id=name,
            speaker=_text(item, "spk", "speaker"),
            session=_text(item, "session"),
            start=_seconds(_first(item, "start_time", "start"), f"{where}: the start of {name}"),
            end=_seconds(_first(item, "end_time", "end"), f"{where}: the end of {name}"),
        )


def _first(item: Mapping[str, Any], *keys: str) -> Any:
    """Return the value of the first key that has one."""
    return next((item[key] for key in keys if item.get(key) is not None), None)


def _text(item: Mapping[str, Any], *keys: str) -> str | None:
    """Return the value of the first key that has one, as text."""
    value = _first(item, *keys)
    return None if value is None else str(value)


def _seconds(value: Any, what: str) -> float | None:
    """Return a time in s; None for None or an empty cell."""
    if value is None or value == "":
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not math.isfinite(seconds):
        raise UserError(f"{what} is {value!r}; give a number of seconds.")
    return seconds


_READERS: Mapping[str, Callable[[Path], Iterator[_Entry]]] = {
    "tsv": _read_tsv,
    "scp": _read_scp,
    "csv": _read_csv,
    "jsonl": _read_jsonl,
}
