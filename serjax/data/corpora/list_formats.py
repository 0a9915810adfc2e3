"""Formats of lists: `path<TAB>label`, scp, CSV and TSV with a header, and EmoBox's JSON lines, read to entries."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from serjax.data.corpora.columns import FIELDS, VALUES, VOTES, find_columns, is_header, plain, unused
from serjax.runtime.errors import UserError, one_of
from serjax.runtime.json_files import parse_json
from serjax.runtime.text import read_lines, read_rows

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
class Entry:
    """One clip as its list spells it; None stands for what the list leaves out."""

    line: int
    path: str
    label: str
    id: str | None = None
    speaker: str | None = None
    session: str | None = None
    start: float | None = None
    end: float | None = None
    text: str | None = None
    gender: str | None = None
    age: str | None = None
    values: tuple[tuple[str, float], ...] = ()
    votes: tuple[tuple[str, float], ...] = ()


@dataclass
class Reading:
    """Settings of a reader, and the sentences that it leaves."""

    columns: Mapping[str, str]
    labelled: bool
    notes: list[str] = field(default_factory=list)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the number and text of every line that is not blank."""
    return ((number, line) for number, line in read_lines(path) if line.strip())


def _read_tsv(path: Path, reading: Reading) -> Iterator[Entry]:
    rows = ((number, [field.strip() for field in line.split("\t")]) for number, line in _lines(path))
    first = next(rows, None)
    if first is None:
        return
    if is_header(first[1], reading.columns):
        yield from _read_table(path, first, rows, reading)
        return
    if len(first[1]) > 2 and (named := [plain(name) for name in first[1]]) and set(named) & set(FIELDS["path"]):
        raise UserError(
            f"{path}: no column of its header ({', '.join(first[1])}) holds the labels; name it with --data.columns "
            "label=COLUMN."
        )
    for number, fields in itertools.chain([first], rows):
        if len(fields) != 2:
            raise UserError(
                f"{path}:{number}: {fields[0]} comes with {len(fields)} tab-separated fields; expected path<TAB>label, "
                "or a header and --data.columns path=COLUMN label=COLUMN."
            )
        yield Entry(number, path=fields[0], label=fields[1])


def _read_scp(path: Path, reading: Reading) -> Iterator[Entry]:
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
        yield Entry(number, path=fields[1], label=fields[2], id=fields[0])


def _read_csv(path: Path, reading: Reading) -> Iterator[Entry]:
    rows = read_rows(path, separators=",\t;")
    first = next(rows, None) or (1, [])
    yield from _read_table(path, first, rows, reading)


def _read_table(
    path: Path, first: tuple[int, list[str]], rows: Iterator[tuple[int, list[str]]], reading: Reading
) -> Iterator[Entry]:
    """Read rows under a header, the first of them."""
    header = first[1]
    places, notes = find_columns(header, reading.columns, f"{path}:{first[0]}", labelled=reading.labelled)
    reading.notes += notes
    for number, row in rows:
        if len(row) != len(header):
            raise UserError(
                f"{path}:{number}: {row[0]} comes with {len(row)} fields where the header has {len(header)}; "
                "correct the line, and quote fields that hold the separator."
            )
        cells = {name: row[place].strip() for name, place in places.items()}
        name = cells.get("id") or cells["path"]
        yield Entry(
            number,
            path=cells["path"],
            label=cells.get("label", ""),
            id=cells.get("id"),
            speaker=cells.get("speaker"),
            session=cells.get("session"),
            start=seconds(cells.get("start"), f"{path}:{number}: the start of {name}"),
            end=seconds(cells.get("end"), f"{path}:{number}: the end of {name}"),
            text=cells.get("text"),
            gender=cells.get("gender"),
            age=cells.get("age"),
            **numbers({field: cells[field] for field in cells if field not in FIELDS}, f"{path}:{number}", name),
        )


def _read_jsonl(path: Path, reading: Reading) -> Iterator[Entry]:
    keys = {name: (column,) for name, column in reading.columns.items()}
    known = {name: keys.get(name, (*_EMOBOX[name], name)) for name in FIELDS}
    numeric = {name: keys.get(name, VALUES.get(name, ())) for name in (*VALUES, *(set(keys) - set(FIELDS)))}
    required = ["id", "path", *(["label"] if reading.labelled else [])]
    seen: dict[str, None] = {}
    for number, line in _lines(path):
        where = f"{path}:{number}"
        item = parse_json(line, where, remedy="write one object a line")
        if not isinstance(item, dict):
            raise UserError(f"{where}: this is not a JSON object; write one with the keys key, wav and emo.")
        values = {name: _first(item, *known[name]) for name in FIELDS}
        if values["speaker"] is None and "speaker" not in keys:
            others = [key for key in item if plain(key) in FIELDS["speaker"] and item[key] is not None]
            if len(others) > 1:
                raise UserError(
                    f"{where}: the speaker may be in any of the keys {one_of(others)}; say which, as in --data.columns "
                    f"speaker={others[0]}."
                )
            values["speaker"] = item[others[0]] if others else None
            known["speaker"] = (*known["speaker"], *others)
        for name in required:
            if name == "label" and values[name] is None and any(key in item for key in known[name]):
                continue  # null, which is told with all others
            if not isinstance(values[name], (str, int)) or isinstance(values[name], bool):
                clip = "this clip" if name == "id" else values["id"]
                raise UserError(
                    f"{where}: {clip} has no {known[name][0]}, or none that is text;"
                    f" found the keys {one_of(list(item))}."
                )
        seen |= dict.fromkeys(item)
        name = str(values["id"])
        yield Entry(
            number,
            path=str(values["path"]),
            label="" if values["label"] is None else str(values["label"]),
            id=name,
            speaker=_text(values["speaker"], where),
            session=_text(values["session"], where),
            start=seconds(values["start"], f"{where}: the start of {name}"),
            end=seconds(values["end"], f"{where}: the end of {name}"),
            text=_text(values["text"], where),
            gender=_text(values["gender"], where),
            age=_text(values["age"], where),
            **numbers({field: _first(item, *own) for field, own in numeric.items()}, where, name),
        )
    taken = {key for keys_of in (*known.values(), *numeric.values()) for key in keys_of}
    reading.notes += unused(key for key in seen if key not in taken)


_EMOBOX: Mapping[str, tuple[str, ...]] = {
    "path": ("wav",),
    "label": ("emo",),
    "id": ("key",),
    "speaker": ("spk",),
    "session": (),
    "start": ("start_time",),
    "end": ("end_time",),
    "text": (),
    "gender": ("sex",),
    "age": (),
}
"""Keys of EmoBox; those that are called as what they hold are read too."""


def _first(item: Mapping[str, Any], *keys: str) -> Any:
    """Return the value of the first key that has one."""
    return next((item[key] for key in keys if item.get(key) is not None), None)


def _text(value: Any, where: str) -> str | None:
    if isinstance(value, (list, dict)):
        raise UserError(f"{where}: {value!r:.60} holds several values where one is due; correct the line.")
    return None if value is None else str(value)


def numbers(cells: Mapping[str, Any], where: str, name: str) -> dict[str, tuple[tuple[str, float], ...]]:
    """Return values and votes; what is empty, None or NaN is missing."""
    found: dict[str, float] = {}
    for column, cell in cells.items():
        if cell is None or cell == "":
            continue
        try:
            number = float(cell)
        except (TypeError, ValueError):
            number = math.inf
        if math.isinf(number):
            raise UserError(
                f"{where}: the {column} of {name} is {cell!r}; give a number, or nothing where it is missing."
            )
        if not math.isnan(number):
            found[column] = number
    votes = {name.removeprefix(VOTES): number for name, number in found.items() if name.startswith(VOTES)}
    values = {name: number for name, number in found.items() if not name.startswith(VOTES)}
    return {"values": tuple(values.items()), "votes": tuple(votes.items())}


def seconds(value: Any, what: str) -> float | None:
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


READERS: Mapping[str, Callable[[Path, Reading], Iterator[Entry]]] = {
    "tsv": _read_tsv,
    "scp": _read_scp,
    "csv": _read_csv,
    "jsonl": _read_jsonl,
}
"""Reader of each format."""
