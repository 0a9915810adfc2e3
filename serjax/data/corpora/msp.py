"""MSP-Podcast (Lotfian & Busso 2019) and MSP-IMPROV (Busso et al. 2017): consensus, values and votes of annotators."""

import itertools
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from serjax.data.corpora.attributes import gender_of, shared
from serjax.data.corpora.label_files import (
    Read,
    Recording,
    Row,
    by_name,
    find_label_files,
    find_recordings,
    left_out_note,
    read_table,
    skipped_note,
    with_files,
)
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError
from serjax.runtime.text import read_lines

CONSENSUS = ("labels_consensus.csv", "labels_concensus.csv")
"""Names of the table of MSP-Podcast; older releases misspell it."""
EVALUATION = ("Evalution.txt", "Evaluation.txt")
"""Names of the labels of MSP-IMPROV, the first as published."""

EMOTIONS = {
    **{"A": "angry", "S": "sad", "H": "happy", "U": "surprise", "F": "fear", "D": "disgust", "C": "contempt"},
    "N": "neutral",
}
"""Classes by their codes."""
_OTHERS = {"O": "other", "X": "no agreement"}
_DIMENSIONS = {"A": "arousal", "V": "valence", "D": "dominance", "N": "naturalness"}

_HEAD = 200
"""Lines in which a file of labels names its first turn."""
_NUMBER = re.compile(r"([AVDN])\s*:\s*([^\s;]+)")
_TURN = re.compile(r"MSP-IMPROV-S\d\d[AHNS]-[FM]0([1-6])-[A-Z]-([FM])[FM]\d+", re.IGNORECASE)


@dataclass
class Evaluation:
    """Answers of the annotators of one clip.

    Attributes:
        code: the consensus.
        values: means over the annotators.
        labels: the primary emotion that each annotator chose.
    """

    code: str
    values: tuple[tuple[str, float], ...]
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def votes(self) -> tuple[tuple[str, float], ...]:
        """Number of annotators who chose each label."""
        return tuple((label, float(count)) for label, count in sorted(Counter(self.labels.values()).items()))


def read_evaluations(path: Path) -> dict[str, Evaluation]:
    """Read labels.txt of MSP-Podcast or Evalution.txt of MSP-IMPROV.

    A clip has a line `NAME.wav; N; A:2.2; V:4.0; D:2.6;`, and after it one for each annotator, as in
    `WORKER0001; Other-annoyed; Angry,Annoyed; A:5; V:2; D:4;`. Other-annoyed counts as other.

    Returns:
        Evaluations by the names of the clips without suffix.

    Raises:
        UserError: the file cannot be read, or an annotator's line stands before all clips.
    """
    found: dict[str, Evaluation] = {}
    clip = None
    for number, line in read_lines(path, "the file of labels", "copy it anew", lenient=True):
        cells = [cell.strip() for cell in line.split(";")]
        if len(cells) < 2:
            continue
        name, dot, suffix = cells[0].rpartition(".")
        if dot and suffix.lower() in ("wav", "avi"):
            if name in found:
                raise UserError(f"{path}:{number}: {name} is evaluated a second time; copy the file anew.")
            values = ((_DIMENSIONS[key], float(value)) for key, value in _NUMBER.findall(line) if _is_number(value))
            clip = found[name] = Evaluation(cells[1].upper(), tuple(values))
        elif clip is None:
            raise UserError(f"{path}:{number}: {line[:60]!r} comes before all clips; copy the file anew.")
        else:
            clip.labels[cells[0]] = cells[1].partition("-")[0].strip().lower()
    return found


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _label(code: str, labelled: bool, others: Counter[str]) -> str | None:
    """Return the class of a code, None for one that is left out, which is counted."""
    if code in EMOTIONS:
        return EMOTIONS[code]
    if code in _OTHERS and not labelled:
        return _OTHERS[code]
    others[_OTHERS.get(code, code or "no label")] += 1
    return None


def read_msp_podcast(root: Path, *, videos: bool, skip_missing: bool, labelled: bool) -> Read:
    """Read MSP-Podcast as released: Labels/labels_consensus.csv, Labels/labels.txt and Audios/.

    Clips have the consensus as label, arousal, valence and dominance (1 to 7) as values, the primary emotions of the
    annotators as votes, and as session the part that they belong to (Train, Development, Test1 ...). A speaker called
    Unknown is None.

    Args:
        root: the folder of the release.
        videos: refused, as there are none.
        skip_missing: leave out clips whose sound files do not exist.
        labelled: leave out clips without agreement, and those of other emotions.

    Raises:
        UserError: labels or sound files are missing or cannot be read.
    """
    tables = _one(root, CONSENSUS, "MSP-Podcast", videos)
    evaluations = find_label_files(root, ["labels.txt"])
    votes = read_evaluations(evaluations[0]) if evaluations else {}
    sounds = by_name(root, find_recordings(root))
    rows, others, unknown = [], Counter[str](), 0
    for number, cells in enumerate(read_table(tables, ["FileName", "EmoClass"]), 2):
        name = cells["FileName"].removesuffix(".wav")
        label = _label(cells["EmoClass"].upper(), labelled, others)
        if label is None:
            continue
        columns = {"EmoAct": "arousal", "EmoVal": "valence", "EmoDom": "dominance"}
        written = {value: cells.get(column, "") for column, value in columns.items()}
        wrong = [
            f"{value} {cell}" for value, cell in written.items() if cell and not _is_number(cell) and cell != "NaN"
        ]
        if wrong:
            raise UserError(f"{tables}:{number}: {wrong[0]} of {name} is no number; copy the file anew.")
        speaker = cells.get("SpkrID") or "Unknown"
        unknown += speaker.lower() == "unknown"
        gender = gender_of(cells.get("Gender", ""))
        clip = Utterance(
            name,
            root,
            label,
            speaker=None if speaker.lower() == "unknown" else speaker,
            session=cells.get("Split_Set") or None,
            attributes=shared(gender if gender in ("female", "male") else None, None),
            values=tuple((value, float(cell)) for value, cell in written.items() if _is_number(cell)),
            votes=votes[name].votes if name in votes else (),
        )
        rows.append(Row(clip, sounds.get(name.lower())))
    clips = with_files(root, "MSP-Podcast", rows, videos=videos, skip_missing=skip_missing)
    notes = [f"MSP-Podcast by {tables.name}: labels, values, speakers and parts (as sessions) are read from it."]
    notes += ["The votes are those of labels.txt."] if votes else ["There is no labels.txt, so clips have no votes."]
    notes += [f"{unknown} clips are of unknown speakers."] if unknown else []
    notes += [*left_out_note(others, "without one of the eight emotions"), *skipped_note(rows, clips)]
    return Read(clips, (), tuple(notes))


def holds_msp_improv(root: Path) -> bool:
    """Return whether a file of labels below a folder is one of MSP-IMPROV."""
    for path in find_label_files(root, EVALUATION):
        try:
            head = itertools.islice(read_lines(path, "the file of labels", lenient=True), _HEAD)
            if any("-IMPROV-" in line for _, line in head):
                return True
        except UserError:
            continue
    return False


def read_msp_improv(root: Path, *, videos: bool, skip_missing: bool, labelled: bool) -> Read:
    """Read MSP-IMPROV as published: Evalution.txt, and session1 to session6 with a sound and a video a turn.

    Clips have the consensus as label, arousal, valence, dominance and naturalness as values, the annotators' emotions
    as votes, and the session. The speaker is whom a turn's last field names: FM01 is said by the woman to the man.

    Args:
        root: the folder of the corpus.
        videos: take the videos, too.
        skip_missing: leave out turns whose files do not exist.
        labelled: leave out turns without agreement, and those of other emotions.

    Raises:
        UserError: labels or files are missing or cannot be read.
    """
    labels = _one(root, EVALUATION, "MSP-IMPROV", False)
    recordings: dict[str, Recording] = {}
    for name, one in by_name(root, find_recordings(root)).items():
        other = recordings.get(_improv(name), Recording())
        recordings[_improv(name)] = Recording(one.sound or other.sound, one.video or other.video)
    rows, others = [], Counter[str]()
    for name, evaluation in read_evaluations(labels).items():
        name = _improv(name)
        turn = _TURN.fullmatch(name)
        if turn is None:
            raise UserError(f"{labels}: {name} is no turn of MSP-IMPROV, such as UTD-IMPROV-S01A-F01-P-FM01.avi.")
        label = _label(evaluation.code, labelled, others)
        if label is not None:
            session, gender = turn[1], turn[2].upper()
            clip = Utterance(
                name,
                root,
                label,
                speaker=f"{gender}0{session}",
                session=session,
                attributes=shared(gender_of(gender), None),
                values=evaluation.values,
                votes=evaluation.votes,
            )
            rows.append(Row(clip, recordings.get(name)))
    clips = with_files(root, "MSP-IMPROV", rows, videos=videos, skip_missing=skip_missing)
    notes = [f"MSP-IMPROV by {labels.name}: labels, values and votes are read from it, speakers from the names."]
    notes += [*left_out_note(others, "without one of the emotions"), *skipped_note(rows, clips)]
    return Read(clips, (), tuple(notes))


def _improv(name: str) -> str:
    """Return a turn's name as that of its sound, whatever its labels or its video are called."""
    return re.sub("^UTD-", "MSP-", name.upper())


def _one(root: Path, names: tuple[str, ...], title: str, videos: bool) -> Path:
    if videos:
        raise UserError(f"--data.root {root}: of {title} there is sound alone; choose a model without video.")
    found = find_label_files(root, names)
    if len(found) != 1:
        what = f"{len(found)} files {names[0]}" if found else f"no {names[0]}"
        raise UserError(f"--data.root {root}: there is {what} in it; give the folder of {title} as published.")
    return found[0]
