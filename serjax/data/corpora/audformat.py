"""Databases of audformat: folders with a header db.yaml and tables, and those that audb knows by name."""

import fnmatch
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from serjax.data.corpora.columns import FIELDS, VALUES, parse_columns, plain
from serjax.data.corpora.records import Found, Records, choose_splits, refuse_twice, utterance
from serjax.data.utterance import Utterance
from serjax.runtime.errors import MissingPackage, UserError, one_of, reason
from serjax.runtime.remote import as_path, exists_once, is_remote

HEADER = "db.yaml"
"""File of every database."""
_HUMAN = "human"
"""Type of a rater who is one person; others are a vote, a machine, or the truth."""

Segment = tuple[str, float, float | None]
"""A file, and where a stretch of it begins and ends, in s; None is its end."""


class _Column(NamedTuple):
    """A column of a table: `scheme` says which values it has, `human` whether one person gave them."""

    table: str
    name: str
    scheme: str
    human: bool
    split: str | None

    def __str__(self) -> str:
        return f"{self.table}.{self.name}"


def read_audformat(records: Records) -> Found:
    """Read the segments of a database, whose sound is in files.

    The label is the column that is called as one, or has such a scheme. Columns in which single people gave labels are
    votes, and where there is no other column the label is what most of them gave. Values of several people are their
    mean. Speakers and what is known of them may stand in a table of files, or in the labels of their scheme.

    Args:
        records: settings; the root is a database's folder, or its name in audb, with `==VERSION` behind it where it is
            not to be the latest. Columns are given as COLUMN or TABLE.COLUMN, with `*` for any text.

    Raises:
        UserError: there is no such database, no column is the label, several may be, a split is not there, files do
            not exist, or a segment cannot be used.
        MissingPackage: audformat, or audb for a name, is not installed.
    """
    database, root, name = _load(records.root)
    every = [_column(table, column) for table in database.tables.values() for column in table.columns.values()]
    if not every:
        raise UserError(f"--data.root {records.root}: the database has no table of files with a column; give another.")
    given = parse_columns(records.columns)
    for field in ("path", "start", "end"):
        if field in given:
            raise UserError(f"--data.columns {field}={given[field]}: a database's segments say that; leave it out.")
    columns = {
        field: found
        for field in dict.fromkeys(
            ("label", *(one for one in FIELDS if one not in ("path", "start", "end")), *VALUES, *given)
        )
        if (found := _choose(field, every, given, records))
    }
    labels, votes = _labels_and_votes(columns.pop("label", []), every)
    if records.labelled and not (labels or votes):
        raise UserError(
            f"--data.root {records.root}: no column holds the label; found {one_of(list(map(str, every)))}. Name it, "
            "as in --data.columns label=TABLE.COLUMN."
        )
    clips_from = labels or votes or [one for found in columns.values() for one in found]
    splits, notes = choose_splits(dict.fromkeys(one.split for one in clips_from if one.split), records)
    if records.split is not None:
        clips_from = [one for one in clips_from if one.split in splits]
    cells = _Cells(database, records.root)
    counted: dict[Segment, Counter[str]] = {}
    if votes:
        counted = {segment: cells.votes(votes, segment) for segment in cells.segments(votes)}
    left: Counter[str] = Counter()
    people = {one.scheme: _people(database, one.scheme) for one in columns.get("speaker", [])}
    clips, missing, exists = [], [], exists_once()
    for segment in cells.segments(clips_from):
        where = f"{records.root}: {_name(segment)}"
        ballots = counted.get(segment, Counter())
        label = cells.one("label", labels, segment) if labels else _most(ballots)
        if label is None and records.labelled:
            left["a label" if labels or not ballots else "a majority"] += 1
            continue
        row = {field: cells.one(field, found, segment) for field, found in columns.items()}
        known = next((one[row["speaker"]] for one in people.values() if row.get("speaker") in one), {})
        row = {**known, **{field: value for field, value in row.items() if value is not None}, "label": label}
        row |= {f"votes.{one}": count for one, count in ballots.items()}
        file, row["start"], row["end"] = segment
        path = as_path(file, below=root)
        if not exists(path):
            missing.append(file)
        clips.append(utterance(row, where, _name(segment), path, records.labelled))
    _refuse(clips, missing, records, root)
    refuse_twice(clips, records.root)
    return Found(name, tuple(clips), (*_notes(records, labels, votes, columns, every, left), *notes))


def _load(root: str) -> tuple[Any, Path, str]:
    """Return a database, the folder of its files, and its name."""
    task = "Databases of audformat are read"
    try:
        import audformat
    except ImportError:
        raise MissingPackage("audformat", "audformat", task) from None
    path = Path(root)
    if is_remote(root):
        raise UserError(f"--data.root {root}: databases are read from a disk; copy the folder there.")
    if path.is_dir():
        if not (path / HEADER).is_file():
            raise UserError(f"--data.root {root}: there is no {HEADER} in it; give the folder of a database.")
        try:
            database = audformat.Database.load(str(path), load_data=True)
        except Exception as error:  # of YAML, of pandas, of the database's own rules
            raise UserError(
                f"--data.root {root}: the database cannot be read ({_first(error)}); get it again."
            ) from None
        return database, path.absolute(), database.name
    audb = _audb(task)
    name, _, version = root.partition("==")
    try:
        database = audb.load(name, version=version or None, full_path=False, verbose=False)
    except Exception as error:  # of the network, of repositories, of versions
        raise UserError(
            f"--data.root {root}: there is no such folder, and audb gave no database of this name ({_first(error)}); "
            "correct it, or go online."
        ) from None
    return database, Path(database.root), name


def _audb(task: str) -> ModuleType:
    try:
        import audb
    except ImportError:
        raise MissingPackage("audb", "audformat", task) from None
    return audb


def _first(error: Exception) -> str:
    return (reason(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def _column(table: Any, column: Any) -> _Column:
    human = column.rater is not None and column.rater.type == _HUMAN
    return _Column(table._id, column._id, column.scheme_id or "", human, table.split_id)


def _choose(field: str, every: Sequence[_Column], given: Mapping[str, str], records: Records) -> list[_Column]:
    """Return the columns of a field: of one name in several tables, or of several people; none where there is none."""
    if field in given:
        wanted = given[field]
        found = [one for one in every if wanted == one.name or fnmatch.fnmatchcase(str(one), wanted)]
        if not found:
            raise UserError(
                f"--data.columns {field}={wanted}: {records.root} has no such column; it has "
                f"{one_of(list(map(str, every)))}."
            )
        return found
    known = {**FIELDS, **VALUES}[field]
    found = [one for one in every if plain(one.name) in known or plain(one.scheme) in known]
    found = [one for one in found if not one.human] or found
    exact = [one for one in found if one.name.lower() == field] or [one for one in found if plain(one.name) in known]
    found = found if all(one.human for one in found) else exact or found
    names = dict.fromkeys(one.name for one in found)
    if len(names) > 1 and not all(one.human for one in found):
        if field not in ("label", "speaker", *VALUES):
            return []
        raise UserError(
            f"--data.root {records.root}: the {field} may be in any of {one_of(list(map(str, found)))}; say which, as "
            f"in --data.columns {field}={found[0].name}."
        )
    return found


def _labels_and_votes(found: Sequence[_Column], every: Sequence[_Column]) -> tuple[list[_Column], list[_Column]]:
    """Return the columns of labels, and those in which single people gave labels of the same scheme."""
    if len({one.name for one in found}) > 1:  # of single people, and of no other column
        return [], list(found)
    schemes = {one.scheme for one in found if one.scheme}
    return list(found), [one for one in every if one.human and one.scheme in schemes and one not in found]


class _Cells:
    """Values of a database's tables by segment; a table of files holds for all segments of each."""

    def __init__(self, database: Any, root: str) -> None:
        self._database, self._root = database, root
        self._read: dict[_Column, dict[Segment, Any]] = {}

    def _of(self, column: _Column) -> dict[Segment, Any]:
        if column not in self._read:
            frame = self._database.tables[column.table].df
            self._read[column] = {
                segment: value
                for segment, value in zip(_segments(frame.index), frame[column.name].tolist(), strict=True)
                if value is not None and value == value  # NaN, NaT
            }
        return self._read[column]

    def segments(self, columns: Sequence[_Column]) -> list[Segment]:
        """Return all segments of the columns' tables, in their order."""
        tables = dict.fromkeys(one.table for one in columns)
        return list(dict.fromkeys(one for name in tables for one in _segments(self._database.tables[name].df.index)))

    def _values(self, columns: Sequence[_Column], segment: Segment) -> dict[_Column, Any]:
        """Return the values that columns have for a segment, or else for its whole file."""
        found = {}
        for column in columns:
            values = self._of(column)
            for key in (segment, (segment[0], 0.0, None)):
                if key in values:
                    found[column] = values[key]
                    break
        return found

    def votes(self, columns: Sequence[_Column], segment: Segment) -> Counter[str]:
        """Return how many people gave each label."""
        return Counter(map(str, self._values(columns, segment).values()))

    def one(self, field: str, columns: Sequence[_Column], segment: Segment) -> Any:
        """Return the value of a field: of several people the mean.

        Raises:
            UserError: tables say different things.
        """
        found = self._values(columns, segment)
        if len(found) > 1 and all(column.human for column in found) and field not in FIELDS:
            return sum(map(float, found.values())) / len(found)
        if len(set(found.values())) > 1:
            said = [f"{value} in {column}" for column, value in found.items()]
            raise UserError(
                f"--data.root {self._root}: the {field} of {_name(segment)} is {one_of(said)}; name one of the "
                f"columns, as in --data.columns {field}={next(iter(found))}, with * for any text."
            )
        return next(iter(found.values()), None)


def _segments(index: Any) -> Iterator[Segment]:
    """Yield the segments of a table's index."""
    if index.nlevels == 1:
        yield from ((file, 0.0, None) for file in index)
        return
    for file, start, end in index:
        begin = 0.0 if start != start else start.total_seconds()
        yield file, begin, None if end != end else end.total_seconds()


def _name(segment: Segment) -> str:
    file, start, end = segment
    stretch = "" if (start, end) == (0.0, None) else f"[{start:g}-{'' if end is None else format(end, 'g')}]"
    return f"{Path(file).with_suffix('').as_posix()}{stretch}"


def _most(ballots: Mapping[str, int]) -> str | None:
    """Return the label that most people gave; None where there are two such, or nobody gave one."""
    first = sorted(ballots.items(), key=lambda item: -item[1])[:2]
    if not first or (len(first) == 2 and first[0][1] == first[1][1]):
        return None
    return first[0][0]


def _people(database: Any, scheme: str) -> Mapping[Any, dict[str, Any]]:
    """Return gender, age and the like of the speakers that a scheme names, where it or its table tells them."""
    labels = database.schemes[scheme].labels if scheme in database.schemes else None
    if isinstance(labels, str):
        labels = database.misc_tables[labels].df.to_dict("index")
    if not isinstance(labels, Mapping):
        return {}
    known: dict[Any, dict[str, Any]] = defaultdict(dict)
    for speaker, facts in labels.items():
        for name, value in facts.items() if isinstance(facts, Mapping) else ():
            for field in ("gender", "age"):
                if plain(str(name)) in FIELDS[field] and value == value:
                    known[speaker][field] = value
    return dict(known)


def _refuse(clips: Sequence[Utterance], missing: Sequence[str], records: Records, root: Path) -> None:
    if not clips:
        raise UserError(
            f"--data.root {records.root}: no segment of it has a label; name another column with --data.columns "
            "label=TABLE.COLUMN."
        )
    if missing and not (records.skip_missing and len(missing) < len(clips)):
        raise UserError(
            f"--data.root {records.root}: files of {len(missing)} of its {len(clips)} segments do not exist "
            f"({one_of(list(dict.fromkeys(missing)))}); put them below {root}."
        )


def _notes(
    records: Records,
    labels: Sequence[_Column],
    votes: Sequence[_Column],
    columns: Mapping[str, Sequence[_Column]],
    every: Sequence[_Column],
    left: Mapping[str, int],
) -> Iterator[str]:
    """Yield sentences on what was read from where, and what was not."""
    yield f"The clips are read from the database {records.root} of audformat."
    taken = {"label": labels, "votes": votes, **columns}
    yield (
        "By its columns: "
        + "; ".join(
            f"{one_of(list(map(str, found)), 3)} {'are' if len(found) > 1 else 'is'} the {field}"
            for field, found in taken.items()
            if found
        )
        + "."
    )
    if not labels and votes:
        yield "A clip's label is what most people gave."
    for what, count in left.items():
        yield f"{count} segments without {what} are left out."
    used = {one for found in taken.values() for one in found}
    others = [str(one) for one in every if one not in used]
    if others:
        yield f"Columns not used: {', '.join(others)}."
