"""IEMOCAP as published (Busso et al. 2008): the labels of a dialog in one text file, a sound file an utterance."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from serjax.data.corpora.attributes import gender_of, shared
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError, one_of
from serjax.runtime.text import read_lines

EMOTIONS = {"ang": "angry", "exc": "happy", "hap": "happy", "neu": "neutral", "sad": "sad"}
"""The four classes that are usually told apart, by the corpus's codes; excitement counts as happy."""
SEVEN = {
    **{"ang": "angry", "exc": "excited", "fru": "frustrated", "hap": "happy", "neu": "neutral", "sad": "sad"},
    "sur": "surprised",
}
"""The classes that have more than a hundred utterances each."""
_OTHERS = {"dis": "disgust", "fea": "fear", "oth": "other", "xxx": "no agreement"}
_WORDS = {
    **{"anger": "ang", "disgust": "dis", "excited": "exc", "fear": "fea", "frustration": "fru", "happiness": "hap"},
    **{"neutral": "neu", "other": "oth", "sadness": "sad", "surprise": "sur"},
}
"""Codes by what the annotators chose from."""

SESSIONS = {"1": 1085, "2": 1023, "3": 1151, "4": 1031, "5": 1241}
"""Utterances of the four classes in the published corpus, session by session,"""
CLASSES = {"angry": 1103, "happy": 1636, "neutral": 1708, "sad": 1084}
"""and class by class."""

_LABELS = "dialog/EmoEvaluation"
_SOUNDS = "sentences/wav"

# Two people speak in a dialog: whose turn it is stands in the last field (Ses01F_impro01_M003 is spoken by Ses01M).
_TURN = re.compile(
    r"\[[^]]*\]\s+(?P<name>(?P<dialog>Ses0(?P<session>[1-5]))[FM]_\S+_(?P<gender>[FM])[^\W_]*)\s+(?P<code>\w+)(?!\S)"
    r"(?:\s+\[(?P<values>[^]]*)\])?"
)
_VOTE = re.compile(r"C-E\d+:\s*([^\t(]*)")


def find_sessions(root: Path) -> list[Path]:
    """Return the session folders, absolute and sorted, in `root` or in the IEMOCAP_full_release in it; or none."""
    top = root.absolute() / "IEMOCAP_full_release"
    folders = sorted((top if top.is_dir() else top.parent).glob("Session[1-5]"))
    return [folder for folder in folders if any((folder / part).is_dir() for part in (_LABELS, _SOUNDS))]


def read_iemocap(
    root: Path, *, skip_missing: bool = False, classes: Mapping[str, str] = EMOTIONS, labelled: bool = True
) -> tuple[tuple[Utterance, ...], tuple[str, ...]]:
    """Read the utterances whose emotion is one of `classes`.

    An utterance's id is its name, so that folds and lists made elsewhere fit. Its speaker is one of ten, such as
    Ses01F; its session is 1 to 5. Values are valence, arousal (the corpus's activation) and dominance, 1 to 5. Votes
    are those of the annotators, without the actors' own; an annotator who named several emotions gives each its share.

    Args:
        root: IEMOCAP_full_release, or the folder that holds it.
        skip_missing: keep utterances whose sound files do not exist, for a store that will skip them; where not one
            file exists it is an error all the same.
        classes: labels by the corpus's codes, `EMOTIONS` or `SEVEN`.
        labelled: leave out other emotions; else they stay, under names of their own.

    Returns:
        The utterances in the order of their paths, and notes on what is left out or not there.

    Raises:
        UserError: sessions or their labels are missing, a line cannot be read, an utterance is evaluated twice, or
            sound files do not exist.
    """
    sessions = find_sessions(root)
    bare = [folder.name for folder in sessions if not (folder / _LABELS).is_dir()]
    if bare or not sessions:
        lack = f"no {_LABELS} in {one_of(bare)}" if bare else "none of IEMOCAP's folders Session1 to Session5 in it"
        raise UserError(f"--data.root {root}: there is {lack}; give the folder IEMOCAP_full_release as published.")
    names = classes if labelled else {**SEVEN, **_OTHERS, **classes}
    clips: dict[str, Utterance] = {}
    others: Counter[str] = Counter()
    for folder in sessions:
        for turn in _turns(folder / _LABELS):
            if turn.code not in names:
                others[turn.code] += 1
                continue
            if turn.name in clips:
                raise UserError(
                    f"{turn.where}: {turn.name} is evaluated a second time; delete one of the lines or files."
                )
            path = folder / _SOUNDS / turn.name.rpartition("_")[0] / f"{turn.name}.wav"
            clips[turn.name] = Utterance(
                turn.name,
                path,
                names[turn.code],
                speaker=turn.dialog + turn.gender,
                session=turn.session,
                attributes=shared(gender_of(turn.gender), None),
                values=turn.values,
                votes=_counted(turn.votes, {**SEVEN, **_OTHERS, **classes}),
            )
    if not clips:
        raise UserError(
            f"--data.root {root}: no utterance is evaluated as {one_of(list(names))} below its {_LABELS}; give the "
            "folder IEMOCAP_full_release as published."
        )
    missing = [clip.id for clip in clips.values() if not clip.path.is_file()]
    if missing and not (skip_missing and len(missing) < len(clips)):
        raise UserError(
            f"--data.root {root}: {len(missing)} of {len(clips)} evaluated utterances have no file in {_SOUNDS} "
            f"({one_of(missing)}); copy them from the corpus, or leave them out with --data.skip-bad."
        )
    merged = "; excited counts as happy" if names.get("exc") == names.get("hap") else ""
    notes = [f"IEMOCAP by its folders: labels, speakers and sessions are read from {_LABELS}{merged}."]
    if others:
        listing = ", ".join(f"{code} {count}" for code, count in sorted(others.items()))
        notes.append(f"{others.total()} utterances of other emotions are left out ({listing}).")
    by_session, by_class = (Counter(getattr(clip, field) for clip in clips.values()) for field in ("session", "label"))
    if names == EMOTIONS and (by_session, by_class) != (SESSIONS, CLASSES):
        notes.append(
            f"Of the {sum(SESSIONS.values())} utterances of IEMOCAP's four classes {len(clips)} were found: "
            f"{_against(by_session, SESSIONS, 'session ')}; {_against(by_class, CLASSES)}."
        )
    return tuple(sorted(clips.values(), key=lambda clip: clip.path)), tuple(notes)


class _Turn(NamedTuple):
    """An evaluated turn, and where it stands."""

    where: str
    name: str
    dialog: str
    session: str
    gender: str
    code: str
    values: tuple[tuple[str, float], ...]
    votes: list[str]


def _turns(folder: Path) -> Iterator[_Turn]:
    """Yield the evaluated turns of a session."""
    for path in sorted(folder.glob("Ses*.txt")):
        turn = None
        # Only comments of annotators can be anything but ASCII.
        for number, line in read_lines(path, "the file of labels", "copy it anew", lenient=True):
            if line.startswith("["):
                match = _TURN.match(line)
                if match is None:
                    raise UserError(
                        f"{path}:{number}: {line[:80]!r} is no evaluation; expected [start - end], the utterance's "
                        "name and its emotion, with tabs between them, so copy the file anew."
                    )
                if turn is not None:
                    yield turn
                facts = match.groupdict()
                values = _values(facts.pop("values"), f"{path}:{number}")
                turn = _Turn(f"{path}:{number}", **facts, values=values, votes=[])
            elif turn is not None and (vote := _VOTE.match(line)):
                turn.votes.append(vote[1])
        if turn is not None:
            yield turn


def _values(written: str | None, where: str) -> tuple[tuple[str, float], ...]:
    if written is None:
        return ()
    try:
        valence, arousal, dominance = map(float, written.split(","))
    except ValueError:
        raise UserError(
            f"{where}: [{written}] are not valence, activation and dominance; copy the file anew."
        ) from None
    return (("valence", valence), ("arousal", arousal), ("dominance", dominance))


def _counted(votes: Sequence[str], names: Mapping[str, str]) -> tuple[tuple[str, float], ...]:
    """Return votes by label; an annotator's emotions share one vote."""
    counts: Counter[str] = Counter()
    for vote in votes:
        chosen = [word.strip().lower() for word in vote.split(";") if word.strip()]
        for word in chosen:
            label = names.get(_WORDS.get(word.removesuffix(" state"), ""), "other")
            counts[label] += 1 / len(chosen)  # type: ignore[assignment]
    return tuple((label, float(count)) for label, count in sorted(counts.items()))


def _against(found: Mapping[str, int], expected: Mapping[str, int], what: str = "") -> str:
    return ", ".join(f"{what}{name} {found[name]} of {count}" for name, count in expected.items())
