"""Clips of tables whose sound is in them: their columns by name, as of a list, and their cells checked."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from serjax.data.corpora.attributes import age_band, gender_of, plain_text, shared
from serjax.data.corpora.columns import FIELDS, VOTES, find_columns, parse_columns
from serjax.data.corpora.list_formats import numbers, seconds
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError, one_of

VALUES = "values."
"""Before a name: the column holds this value."""


@dataclass(frozen=True)
class Records:
    """Settings of a reader of tables or records.

    Attributes:
        root: as it was given: a folder, or a name.
        split: the part that is read; None: all.
        columns: words of `--data.columns`.
        labelled: whether every clip must have a label.
        cache: folder of the cache.
        skip_missing: leave files that do not exist to the store, which skips them.
    """

    root: str
    cache: Path
    split: str | None = None
    columns: tuple[str, ...] = ()
    labelled: bool = True
    skip_missing: bool = False


class Found(NamedTuple):
    """Result of a reader.

    Attributes:
        name: of the corpus.
        utterances: its clips, in their order.
        notes: sentences on how it was read.
        order: of the classes, where the set has one.
    """

    name: str
    utterances: tuple[Utterance, ...]
    notes: tuple[str, ...]
    order: tuple[str, ...] = ()


def choose_columns(
    names: Sequence[str], sounds: Sequence[str], records: Records, what: str = "column"
) -> tuple[dict[str, str], list[str]]:
    """Return the column of each field, and sentences on what was guessed and what is not used.

    Columns that begin with `votes.` or `values.` are taken for these, as `serjax.prepare` writes them.

    Args:
        names: of all columns.
        sounds: those of them that hold sound.
        records: settings.
        what: a column is called in the set.

    Raises:
        UserError: no column holds sound or the label, several may, or one that was given is missing.
    """
    given = parse_columns(records.columns)
    if "path" not in given:
        if not sounds:
            raise UserError(
                f"--data.root {records.root}: no {what} holds sound; found {one_of(list(names)) or 'none'}. Give a set "
                "of recordings, or name the one with paths of files, as in --data.columns path=COLUMN."
            )
        if len(sounds) > 1:
            raise UserError(
                f"--data.root {records.root}: the sound may be in any of {one_of(list(sounds))}; say which, as in "
                f"--data.columns path={sounds[0]}."
            )
        given["path"] = sounds[0]
    for name in names:
        if name.startswith(VALUES):
            given.setdefault(name.removeprefix(VALUES), name)
        elif name.startswith(VOTES):
            given.setdefault(name, name)
    places, notes = find_columns(names, given, f"--data.root {records.root}", labelled=records.labelled, of="set")
    return {field: names[place] for field, place in places.items()}, notes


def choose_splits(splits: Iterable[str], records: Records) -> tuple[list[str], list[str]]:
    """Return the splits that are read, and a sentence where all of several are.

    Raises:
        UserError: the split that was asked for is not there.
    """
    there = list(splits)
    if records.split is not None:
        if records.split not in there:
            raise UserError(
                f"--data.split {records.split}: {records.root} has no such split; it has {one_of(there) or 'none'}."
            )
        return [records.split], [f"Of its splits, {records.split} alone is read, as --data.split says."]
    if len(there) < 2:
        return there, []
    return there, [
        f"Clips of all splits are read ({', '.join(there)}), and folds are made anew; --data.split reads one of them."
    ]


def utterance(cells: Mapping[str, Any], where: str, name: str, path: Path, labelled: bool) -> Utterance:
    """Return the clip of a row.

    Args:
        cells: values by field; None is a missing one.
        where: the row, for messages.
        name: id of the clip where no cell gives one.
        path: of its sound.
        labelled: whether it must have a label.

    Raises:
        UserError: no label, a stretch that ends before it begins, or a value that is no number.
    """
    texts = {field: _text(cells.get(field)) for field in FIELDS if field not in ("path", "start", "end")}
    if labelled and not texts["label"]:
        raise UserError(
            f"{where}: the label is empty; name another column with --data.columns label=COLUMN, read another "
            "--data.split, or leave the clip out of the set."
        )
    start, end = (seconds(cells.get(field), f"{where}: the {field}") for field in ("start", "end"))
    start = start or 0.0
    if start < 0 or (end is not None and end <= start):
        raise UserError(
            f"{where}: the stretch goes from {start:g} s to {end} s; give a start from 0 on and a later end."
        )
    counted = numbers({field: cell for field, cell in cells.items() if field not in FIELDS}, where, name)
    speaker, session = texts["speaker"], texts["session"]
    return Utterance(
        id=texts["id"] or name,
        path=path,
        label=sys.intern(texts["label"] or ""),
        speaker=sys.intern(speaker) if speaker else None,
        session=sys.intern(session) if session else None,
        start=start,
        end=end,
        text=plain_text(texts["text"]) if texts["text"] else None,
        attributes=shared(gender_of(texts["gender"] or ""), age_band(texts["age"] or "", f"{where}: the age")),
        values=counted["values"],
        votes=counted["votes"],
    )


def _text(cell: Any) -> str | None:
    """Return a cell as text: an integral float, as tables with gaps have them, without its point."""
    if cell is None or cell != cell:  # NaN
        return None
    if isinstance(cell, bytes):
        cell = cell.decode("utf-8", "replace")
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return str(cell).strip() or None


def refuse_twice(clips: Sequence[Utterance], root: str) -> None:
    """Refuse ids that several clips have.

    Raises:
        UserError: there are such.
    """
    seen: set[str] = set()
    twice = {clip.id: None for clip in clips if clip.id in seen or seen.add(clip.id)}  # type: ignore[func-returns-value]
    if twice:
        raise UserError(
            f"--data.root {root}: several clips have the id {one_of(list(twice))}; give every clip one of its own, or "
            "name another column with --data.columns id=COLUMN."
        )
