"""IEMOCAP as published (Busso et al. 2008): the labels of a dialog in one text file, a sound file an utterance."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from serjax.data.corpora.attributes import gender_of, shared
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError, one_of

EMOTIONS = {"ang": "angry", "exc": "happy", "hap": "happy", "neu": "neutral", "sad": "sad"}
"""The four classes that are usually told apart, by the corpus's codes; excitement counts as happy."""

SESSIONS = {"1": 1085, "2": 1023, "3": 1151, "4": 1031, "5": 1241}
"""Utterances of the four classes in the published corpus, session by session,"""
CLASSES = {"angry": 1103, "happy": 1636, "neutral": 1708, "sad": 1084}
"""and class by class."""

_LABELS = "dialog/EmoEvaluation"
_SOUNDS = "sentences/wav"

# Two people speak in a dialog: whose turn it is stands in the last field (Ses01F_impro01_M003 is spoken by Ses01M).
_TURN = re.compile(r"\[[^]]*\]\s+((Ses0([1-5]))[FM]_\S+_([FM])[^\W_]*)\s+(\w+)(?!\S)")


def find_sessions(root: Path) -> list[Path]:
    """Return the session folders, absolute and sorted, in `root` or in the IEMOCAP_full_release in it; or none."""
    top = root.absolute() / "IEMOCAP_full_release"
    folders = sorted((top if top.is_dir() else top.parent).glob("Session[1-5]"))
    return [folder for folder in folders if any((folder / part).is_dir() for part in (_LABELS, _SOUNDS))]


def read_iemocap(root: Path, *, skip_missing: bool = False) -> tuple[tuple[Utterance, ...], tuple[str, ...]]:
    """Read the utterances whose emotion is one of `EMOTIONS`.

    An utterance's id is its name, so that folds and lists made elsewhere fit. Its speaker is one of ten, such as
    Ses01F; its session is 1 to 5.

    Args:
        root: IEMOCAP_full_release, or the folder that holds it.
        skip_missing: keep utterances whose sound files do not exist, for a store that will skip them; where not one
            file exists it is an error all the same.

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
    clips: dict[str, Utterance] = {}
    others: Counter[str] = Counter()
    for folder in sessions:
        for where, turn in _turns(folder / _LABELS):
            name, start, session, gender, code = turn.groups()
            if code not in EMOTIONS:
                others[code] += 1
                continue
            if name in clips:
                raise UserError(f"{where}: {name} is evaluated a second time; delete one of the lines or files.")
            path = folder / _SOUNDS / name.rpartition("_")[0] / f"{name}.wav"
            clips[name] = Utterance(
                name,
                path,
                EMOTIONS[code],
                speaker=start + gender,
                session=session,
                attributes=shared(gender_of(gender), None),
            )
    if not clips:
        raise UserError(
            f"--data.root {root}: no utterance is evaluated as {one_of(list(EMOTIONS))} below its {_LABELS}; give the "
            "folder IEMOCAP_full_release as published."
        )
    missing = [clip.id for clip in clips.values() if not clip.path.is_file()]
    if missing and not (skip_missing and len(missing) < len(clips)):
        raise UserError(
            f"--data.root {root}: {len(missing)} of {len(clips)} evaluated utterances have no file in {_SOUNDS} "
            f"({one_of(missing)}); copy them from the corpus, or leave them out with --data.skip-bad."
        )
    notes = [f"IEMOCAP by its folders: labels, speakers and sessions are read from {_LABELS}; excited counts as happy."]
    if others:
        listing = ", ".join(f"{code} {count}" for code, count in sorted(others.items()))
        notes.append(f"{others.total()} utterances of other emotions are left out ({listing}).")
    by_session, by_class = (Counter(getattr(clip, field) for clip in clips.values()) for field in ("session", "label"))
    if (by_session, by_class) != (SESSIONS, CLASSES):
        notes.append(
            f"Of the {sum(SESSIONS.values())} utterances of IEMOCAP's four classes {len(clips)} were found: "
            f"{_against(by_session, SESSIONS, 'session ')}; {_against(by_class, CLASSES)}."
        )
    return tuple(sorted(clips.values(), key=lambda clip: clip.path)), tuple(notes)


def _turns(folder: Path) -> Iterator[tuple[str, re.Match[str]]]:
    """Yield where each evaluated turn of a session stands, and its match; votes and comments of annotators are not."""
    for path in sorted(folder.glob("Ses*.txt")):
        # Only comments of annotators can be anything but ASCII.
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if line.startswith("["):
                turn = _TURN.match(line)
                if turn is None:
                    raise UserError(
                        f"{path}:{number}: {line[:80]!r} is no evaluation; expected [start - end], the utterance's "
                        "name and its emotion, with tabs between them, so copy the file anew."
                    )
                yield f"{path}:{number}", turn


def _against(found: Mapping[str, int], expected: Mapping[str, int], what: str = "") -> str:
    return ", ".join(f"{what}{name} {found[name]} of {count}" for name, count in expected.items())
