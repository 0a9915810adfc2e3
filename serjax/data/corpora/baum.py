"""BAUM-1s (Zhalehpour et al. 2017): spontaneous clips in Turkish, whose labels are in a spreadsheet."""

import re
from pathlib import Path

from serjax.data.corpora.attributes import gender_of, shared
from serjax.data.corpora.label_files import (
    Read,
    Row,
    by_name,
    find_label_files,
    find_recordings,
    skipped_note,
    with_files,
)
from serjax.data.corpora.spreadsheet import read_cells
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError

TABLES = ("Annotations_BAUM1s.xlsx", "Annotations_BAUM1s.csv", "Annotations_BAUM1s.tsv")
"""Names of the table; what is saved as text wins."""

EMOTIONS = {
    **{"ang": "anger", "bor": "boredom", "bot": "bothered", "conc": "concentrating", "cont": "contempt"},
    **{"dis": "disgust", "fea": "fear", "hap": "happiness", "neu": "neutral", "sad": "sadness", "sur": "surprise"},
    **{"thi": "thinking", "uns": "unsure"},
}
"""Emotions and mental states by how their names begin."""

_NAME = re.compile(r"(S\d{3})_\d{3}", re.IGNORECASE)


def read_baum1s(root: Path, *, videos: bool, skip_missing: bool, labelled: bool) -> Read:
    """Read BAUM-1s as published: Annotations_BAUM1s.xlsx, and a video a clip, such as s001/S001_001.mp4.

    In each row of the table the clip, its emotion and the speaker's gender are told by their cells.

    Args:
        root: the folder of the corpus.
        videos: take the videos, too.
        skip_missing: leave out clips whose files do not exist.
        labelled: every clip has a label.

    Raises:
        UserError: the table or files are missing or cannot be read, or a row has no emotion that is known.
    """
    tables = find_label_files(root, TABLES)
    if not tables:
        raise UserError(
            f"--data.root {root}: there is no {TABLES[0]} in it, and no CSV file of that name; give the folder of "
            "BAUM-1s with it."
        )
    table = next((path for path in tables if path.suffix.lower() != ".xlsx"), tables[0])
    recordings = by_name(root, find_recordings(root))
    rows: dict[str, Row] = {}
    for number, cells in enumerate(read_cells(table), 1):
        words = [cell.strip() for cell in cells]
        match = next((found for cell in words if (found := _NAME.fullmatch(cell))), None)
        if match is None:  # a heading
            continue
        name = match[0].upper()
        label = next(
            (label for cell in words for start, label in EMOTIONS.items() if cell.lower().startswith(start)), ""
        )
        if not label:
            raise UserError(
                f"{table}:{number}: no cell of {name} is an emotion ({', '.join(EMOTIONS.values())}); correct the row."
            )
        if name in rows:
            raise UserError(f"{table}:{number}: {name} stands there a second time; delete one of the rows.")
        gender = next((gender for cell in words if (gender := gender_of(cell)) in ("female", "male")), None)
        clip = Utterance(name, root, label, speaker=match[1].upper(), attributes=shared(gender, None))
        rows[name] = Row(clip, recordings.get(name.lower()))
    clips = with_files(root, "BAUM-1s", list(rows.values()), videos=videos, skip_missing=skip_missing)
    notes = [f"BAUM-1s by {table.name}: labels are read from it, speakers from the names of the clips."]
    return Read(clips, (), (*notes, *skipped_note(list(rows.values()), clips)))
