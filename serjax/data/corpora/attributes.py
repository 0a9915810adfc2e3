"""Attributes of speakers by which a report tells scores apart, and sentences: as tables and names spell them."""

import math
import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from serjax.data.corpora.columns import plain
from serjax.data.corpora.filenames import LAYOUTS
from serjax.runtime.errors import UserError
from serjax.runtime.text import read_rows

Attributes = tuple[tuple[str, str], ...]
"""Names and values, such as (("gender", "female"), ("age", "20-29")); one object for all clips that have the same."""

_GENDERS = {
    **dict.fromkeys(("f", "female", "w", "woman", "feminine", "femalefeminine"), "female"),
    **dict.fromkeys(("m", "male", "man", "masculine", "malemasculine"), "male"),
}
"""Usual spellings, the long ones those of Common Voice; others are kept."""
_OLDEST = 130
_BAND = 10

_TABLES = {
    "cremad": ("VideoDemographics.csv", "actorid"),
    "nemo": ("data.tsv", "speakerid"),
}
"""Tables that corpora are published with, and their columns of speakers as `plain` returns them."""


class People(NamedTuple):
    """Attributes of a corpus's speakers.

    Attributes:
        known: by speaker.
        notes: a sentence on the table that they were read from.
    """

    known: Mapping[str, Attributes]
    notes: tuple[str, ...] = ()


def gender_of(text: str) -> str | None:
    """Return female or male for the usual spellings, others in lower case; None for an empty cell."""
    text = text.strip().lower()
    return _GENDERS.get(plain(text), text) or None


def age_band(text: str, what: str) -> str | None:
    """Return ten years that hold an age in years, such as 20-29; words, such as twenties, as they are.

    Args:
        text: the cell; None for an empty one.
        what: whose age it is, for the message.

    Raises:
        UserError: a number that is no age.
    """
    text = text.strip().lower()
    try:
        years = float(text)
    except ValueError:
        return text or None
    if math.isnan(years):
        return None
    if not 0 <= years <= _OLDEST:
        raise UserError(f"{what} is {text}; give years from 0 to {_OLDEST}, or leave the cell empty.")
    least = int(years) // _BAND * _BAND
    return f"{least}-{least + _BAND - 1}"


@lru_cache(maxsize=4096)
def shared(gender: str | None, age: str | None) -> Attributes:
    """Return attributes as one object for all clips that have the same."""
    return tuple((name, value) for name, value in (("gender", gender), ("age", age)) if value)


def plain_text(text: str) -> str | None:
    """Return a sentence in lower case, words alone, so that spellings of one sentence are equal; None for none."""
    words = " ".join(re.findall(r"\w+", text.casefold()))
    return sys.intern(words or text.strip()) or None


def read_people(root: Path, kind: str) -> People:
    """Return what is known of the speakers of a corpus that is told by its file names.

    These are the speakers of its row in `LAYOUTS`. Tables of CREMA-D and nEMO are read where they lie in the folder or
    beside it.

    Args:
        root: the corpus's folder.
        kind: a key of `LAYOUTS`.

    Raises:
        UserError: a table cannot be read.
    """
    documented = LAYOUTS[kind].people
    if documented:
        return People({name: shared(sex, age and age_band(age, "")) for name, (sex, age) in documented.items()})
    if kind not in _TABLES:
        return People({})
    name, speakers = _TABLES[kind]
    table = next((folder / name for folder in (root, root.parent) if (folder / name).is_file()), None)
    if table is None:
        return People({})
    rows = read_rows(table, "the table of speakers", "copy it anew", separators="\t" if table.suffix == ".tsv" else ",")
    header = [plain(cell) for cell in next(rows, (1, []))[1]]
    speaker = header.index(speakers) if speakers in header else None
    gender = next((header.index(column) for column in ("sex", "gender") if column in header), None)
    age = header.index("age") if "age" in header else None
    if speaker is None or (gender is None and age is None):
        missing = f"column {speakers}" if speaker is None else "columns sex, gender or age"
        return People({}, (f"{name} has no {missing}, so nothing of the speakers is read from it.",))
    known = {}
    for _, row in rows:
        if len(row) == len(header):
            years = None if age is None else age_band(row[age], f"{table}: the age of {row[speaker]}")
            known[row[speaker].strip()] = shared(None if gender is None else gender_of(row[gender]), years)
    read = " and ".join(what for what, column in (("Gender", gender), ("Age", age)) if column is not None)
    return People(known, (f"{read.capitalize()} of speakers {'is' if ' ' not in read else 'are'} read from {name}.",))
