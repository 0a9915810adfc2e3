"""Columns of a list: which one holds the path, the label, the speaker and so on."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

from serjax.runtime.errors import UserError, one_of

FIELDS: Mapping[str, tuple[str, ...]] = {
    "path": (
        *("path", "file", "filename", "filepath", "fileid", "wav", "wavpath", "wavfile", "audio", "audiopath"),
        *("audiofile", "audiofilepath", "clip", "clippath", "fname"),
    ),
    "label": ("label", "labelname", "emotion", "emo", "emotionlabel", "class", "category"),
    "id": ("id", "key", "uttid", "utteranceid", "clipid"),
    "speaker": (
        *("speaker", "speakerid", "speakername", "spk", "spkid", "actor", "actorid", "subject", "subjectid"),
        *("participant", "participantid", "talker", "talkerid", "clientid"),
    ),
    "session": ("session", "sessionid"),
    "start": ("start", "starttime", "begin"),
    "end": ("end", "endtime"),
    "text": (
        *("text", "sentence", "transcript", "transcription", "rawtext", "normalizedtext", "sentenceid", "textid"),
        "statement",
    ),
    "gender": ("gender", "sex", "speakergender", "speakersex"),
    "age": ("age", "speakerage", "agegroup"),
}
"""Facts of a clip that a list can hold, and the names of columns that are known for it, as `plain` returns them."""


VALUES: Mapping[str, tuple[str, ...]] = {
    "arousal": ("arousal", "activation", "act", "aro", "emoact"),
    "valence": ("valence", "val", "emoval"),
    "dominance": ("dominance", "dom", "emodom"),
}
"""Values that are known by the names of their columns; any other is read where `--data.columns` names it."""

VOTES = "votes."
"""Before a label: the column holds how many annotators, or which share of them, gave it."""


def plain(name: str) -> str:
    """Return a column's name in lower case, letters and digits alone: `Speaker_ID` is speakerid."""
    return re.sub(r"[\W_]+", "", name.lower())


def parse_columns(given: Sequence[str]) -> dict[str, str]:
    """Return columns by what they hold, from words such as `speaker=speaker_id`.

    What is none of `FIELDS` is the name of a value, or, behind `VOTES`, a label.

    Raises:
        UserError: a word is not of this form, or names what no list can say, or something twice.
    """
    columns: dict[str, str] = {}
    for word in given:
        field, equals, column = word.partition("=")
        near = difflib.get_close_matches(field, FIELDS, 1, 0.75) if field not in FIELDS else []
        if not equals or not field.removeprefix(VOTES) or not column or field in columns or near:
            wrong = f"{field} stands there twice" if field in columns else f"{word} is none of them"
            if near:
                wrong = f"{field} looks like {near[0]}"
            raise UserError(
                f"--data.columns {' '.join(given)}: give each of {', '.join(FIELDS)} at most once, as in "
                f"path=file_id label=emotion, values by their names, as in arousal=act, and votes as in "
                f"{VOTES}angry=n_angry; {wrong}."
            )
        columns[field] = column
    return columns


def is_header(cells: Sequence[str], given: Mapping[str, str]) -> bool:
    """Return whether the first line of a list names columns: those given, or one for the path and one for the label."""
    if given:
        return True
    names = {plain(cell) for cell in cells}
    return bool(names.intersection(FIELDS["path"])) and bool(names.intersection(FIELDS["label"]))


def find_columns(
    header: Sequence[str], given: Mapping[str, str], where: str, *, labelled: bool = True, of: str = "list"
) -> tuple[dict[str, int], list[str]]:
    """Return the place of the column of each field, and sentences on what was guessed and what is not used.

    A column that is called as the field is it; else the only one whose name is known for it (`FIELDS`).

    Args:
        header: names of the columns.
        given: columns by field, which win.
        where: the list and the line, for messages.
        labelled: whether there must be a label.
        of: whose columns they are.

    Raises:
        UserError: a column that was given is missing, none holds the path or the label, several may hold it or the
            speaker, or two columns have one name.
    """
    header = [name.strip() for name in header]
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise UserError(f"{where}: two columns are called {one_of(twice)}; rename one of them.")
    places: dict[str, int] = {}
    for field, column in given.items():
        if column not in header:
            near = difflib.get_close_matches(column, header, 3) or header
            raise UserError(f"--data.columns {field}={column}: {where} has no column {column}; it has {one_of(near)}.")
        places[field] = header.index(column)
    guessed = []
    lower = [name.lower() for name in header]
    for field in FIELDS:
        if field not in places and field in lower:
            places[field] = lower.index(field)
    for field, known in {**FIELDS, **VALUES}.items():
        if field in places:
            continue
        found = [i for i, name in enumerate(header) if plain(name) in known and i not in places.values()]
        if len(found) > 1 and field in ("path", "label", "speaker", *VALUES):
            raise UserError(
                f"{where}: the {field} may be in any of the columns {one_of([header[i] for i in found])}; say which, "
                f"as in --data.columns {field}={header[found[0]]}."
            )
        if len(found) == 1:
            places[field] = found[0]
            guessed.append(f"{header[found[0]]} is the {field}")
    for field in ("path", "label") if labelled else ("path",):
        if field not in places:
            raise UserError(
                f"{where}: no column holds the {field}; found {one_of(list(filter(None, header))) or 'none'}. Name it, "
                f"as in --data.columns {field}=COLUMN, or call it {field}."
            )
    notes = [f"By the names of the {of}'s columns: {', '.join(guessed)}."] if guessed else []
    return places, notes + unused(name for i, name in enumerate(header) if i not in places.values())


def unused(names: Iterable[str]) -> list[str]:
    """Return a sentence on columns that are not used, with a hint on parts of a corpus; none where all are used."""
    left = [name for name in names if name]
    if not left:
        return []
    hints = [name for name in left if plain(name) in ("split", "fold", "set", "partition", "subset")]
    hint = f" Folds are made anew, whatever {one_of(hints)} says; --folds.kind files reads given ones." if hints else ""
    return [f"Columns not used: {', '.join(left)}.{hint}"]
