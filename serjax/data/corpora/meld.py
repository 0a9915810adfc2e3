"""MELD (Poria et al. 2019): a table a part, and a video or sound an utterance."""

import re
from collections import Counter
from pathlib import Path

from serjax.data.corpora.attributes import plain_text
from serjax.data.corpora.label_files import (
    Read,
    Recording,
    Row,
    find_label_files,
    find_recordings,
    read_table,
    skipped_note,
    with_files,
)
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError

TABLES = {"train_sent_emo.csv": "train", "dev_sent_emo.csv": "dev", "test_sent_emo.csv": "test"}
"""Parts by their tables."""
_PARTS = {"train": "train", "dev": "dev", "val": "dev", "valid": "dev", "test": "test"}
_NEEDED = ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID")
_CLIP = re.compile(r"(?:final_videos_test)?dia(\d+)_utt(\d+)")


def read_meld(root: Path, *, videos: bool, skip_missing: bool, labelled: bool) -> Read:
    """Read MELD as published: {train,dev,test}_sent_emo.csv, and diaD_uttU.mp4 (or .wav) in folders named by the parts.

    The part is the clips' session. Names count again in every part, so that a clip's id has its part before it. The
    sound is a file of its own where there is one, else that of the video.

    Args:
        root: the folder of the corpus.
        videos: take the videos, too.
        skip_missing: leave out utterances whose files do not exist. One of the published tables (dev) has one.
        labelled: every utterance has a label.

    Raises:
        UserError: tables or files are missing or cannot be read.
    """
    tables = find_label_files(root, TABLES)
    twice = sorted(name for name, count in Counter(path.name.lower() for path in tables).items() if count > 1)
    if not tables or twice:
        what = f"more than one {twice[0]}" if twice else "none of MELD's tables train_sent_emo.csv, dev_ and test_"
        raise UserError(f"--data.root {root}: there is {what} in it; give the folder of MELD as published.")
    only = TABLES[tables[0].name.lower()] if len(tables) == 1 else None
    recordings = _by_part(root, only)
    rows = []
    for table in tables:
        part = TABLES[table.name.lower()]
        for cells in read_table(table, _NEEDED):
            key = (part, cells["Dialogue_ID"], cells["Utterance_ID"])
            clip = Utterance(
                f"{part}/dia{key[1]}_utt{key[2]}",
                root,
                cells["Emotion"].lower(),
                speaker=cells["Speaker"] or None,
                session=part,
                text=plain_text(cells["Utterance"]),
            )
            rows.append(Row(clip, recordings.get(key)))
    clips = with_files(root, "MELD", rows, videos=videos, skip_missing=skip_missing)
    names = ", ".join(path.name for path in tables)
    notes = [f"MELD by its tables ({names}): labels, speakers and parts (as sessions) are read from them."]
    return Read(clips, (), (*notes, *skipped_note(rows, clips)))


def _by_part(root: Path, only: str | None) -> dict[tuple[str, str, str], Recording]:
    """Return recordings by part, dialogue and utterance; `only` is the part of those whose folders name none."""
    found: dict[tuple[str, str, str], Recording] = {}
    for key, one in find_recordings(root).items():
        match = _CLIP.fullmatch(key[-1])
        if match is None:
            continue
        words = [word for folder in key[:-1] for word in re.findall("[a-z]+", folder.lower())]
        part = next((_PARTS[word] for word in reversed(words) if word in _PARTS), only)
        if part is None:
            path = one.sound or one.video
            raise UserError(
                f"--data.root {root}: no folder above {path} says train, dev or test, though there are tables of "
                "several parts; name the folders as published (train_splits, dev_splits_complete, "
                "output_repeated_splits_test)."
            )
        place = (part, match[1], match[2])
        other = found.get(place, Recording())
        # Copies that begin with final_videos_test stand beside others in the published test part.
        both = next((pair for pair in zip(other, one, strict=True) if None not in pair), None)
        if both and not key[-1].startswith("final"):
            raise UserError(
                f"--data.root {root}: {both[0]} and {both[1]} are one utterance of the part {part}; move one of "
                "them away."
            )
        found[place] = Recording(other.sound or one.sound, other.video or one.video)
    return found
