"""A folder a class: which level of folders holds the classes, and which only parts, speakers or corpora."""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from serjax.data.corpora.filenames import LAYOUTS
from serjax.data.corpora.folders import clip_id
from serjax.data.corpora.names import is_part
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError, one_of

_EMOTIONS = frozenset(
    """
    anger angry ang annoyed anxiety anxious aroused arousal bored boredom calm contempt disgust disgusted dis excited
    excitement exc fear fearful fea frustrated frustration fru happiness happy hap joy joyful negative neu neutral
    other pain positive relaxed sad sadness sarcastic sleepy stress stressed surprise surprised sur unhappy worried
    """.split()  # noqa: SIM905
)
"""Words that name classes."""

_SPEAKER = re.compile(r"(?i)(?:speaker|spkr|spk|actor|actress|subject|subj|participant|talker)[_ -]?[a-z]?\d+")
_SEXES = frozenset("m f male female man woman men women boys girls males females".split())  # noqa: SIM905
_CORPORA = frozenset(
    {re.sub(r"\W", "", layout.title.lower()) for layout in LAYOUTS.values()}
    | set("berlin crema enterface iemocap jlcorpus mead meld mspimprov msppodcast".split())  # noqa: SIM905
)


def read_classes(root: Path, files: Sequence[Path], *, as_told: bool = False) -> list[Utterance]:
    """Label every file with the folder of its class.

    This is the first folder below `root`, or below its only folder where all is there. Folders such as train and
    test_clean are parts, which become the session, and the classes are the folders in them. So they are where those
    alone have names of emotions. Where all first folders hold the same folders, and no name tells, it is asked.

    Args:
        root: the folder.
        files: all files, below it.
        as_told: the first folders are the classes, whatever they are called.

    Raises:
        UserError: files outside of all classes, a single class, or folders that look like parts, speakers or corpora.
    """
    root = root.absolute()
    top = top_folder(root, files)
    places = [path.relative_to(top).parts for path in files]
    level = 0 if as_told else _level(top, places)
    loose = [path.name for path, parts in zip(files, places, strict=True) if len(parts) <= level + 1]
    if loose:
        where = (
            f"directly in its folders {one_of(sorted({parts[0] for parts in places}))}" if level else "directly in it"
        )
        raise UserError(
            f"--data.root {top}: {len(loose)} files lie {where} and have no label ({one_of(loose)}); "
            "move them into a folder a class, give a list of paths and labels, or say with --data.label-pattern where "
            "their names hold the label."
        )
    in_parts = bool(level) and all(is_part(parts[0]) for parts in places)
    clips = [
        Utterance(id=clip_id(path, root), path=path, label=parts[level], session=parts[0] if in_parts else None)
        for path, parts in zip(files, places, strict=True)
    ]
    classes = sorted({clip.label for clip in clips})
    if len(classes) == 1:
        raise UserError(
            f"--data.root {top}: {classes[0]} is its only folder and so the only class; give the folder that holds a "
            "folder a class, two or more."
        )
    if not as_told:
        _refuse_others(top, classes)
    return clips


def _level(top: Path, places: Sequence[tuple[str, ...]]) -> int:
    """Return 1 where the first folders are parts, or those in them are emotions; else 0."""
    inside: dict[str, set[str | None]] = defaultdict(set)
    for parts in places:
        if len(parts) > 1:
            inside[parts[0]].add(parts[1] if len(parts) > 2 else None)
    first, second = list(inside), set().union(*inside.values())
    if first and all(map(is_part, first)):
        return 1
    if len(first) < 2 or len(second) < 2 or None in second:
        return 0
    names = sorted(name for name in second if name)
    if any(map(_is_emotion, first)):
        return 0
    if all(map(_is_emotion, names)):
        return 1
    same = all(found == second for found in inside.values())
    if not same or all(_is_speaker(name) or is_part(name) for name in names):
        return 0
    raise UserError(
        f"--data.root {top}: its folders {one_of(first)} all hold the folders {one_of(names)}, and either may be the "
        "classes; say --data.corpus folder for the first, or --data.label-pattern '([^/]+)/[^/]+$' for those in them."
    )


def _refuse_others(top: Path, classes: Sequence[str]) -> None:
    """Raise a `UserError` where all classes look like something else."""
    if all(map(_is_speaker, classes)):
        what = "speakers, not classes; say with --data.label-pattern where the names hold the label, give a list of"
    elif all(map(is_part, classes)):
        what = "parts of a corpus, not classes; give one of them, or a list of"
    elif all(re.sub(r"[^a-z0-9-].*", "", name.lower()).replace("-", "") in _CORPORA for name in classes):
        what = "corpora, not classes; give one of them, or a list of"
    else:
        return
    raise UserError(
        f"--data.root {top}: its folders {one_of(list(classes))} are {what} paths and labels, or say "
        "--data.corpus folder where they are the classes."
    )


def _is_speaker(name: str) -> bool:
    return _SPEAKER.fullmatch(name) is not None or name.lower() in _SEXES


def _is_emotion(name: str) -> bool:
    return any(word in _EMOTIONS for word in re.findall(r"[a-z]+", name.lower()))


def top_folder(root: Path, files: Sequence[Path]) -> Path:
    """Return the folder that holds the classes: root, or where all lies in the folders of one folder below, that."""
    top = root
    while True:
        names = {path.relative_to(top).parts[0] for path in files}
        only = top / next(iter(names))
        parents = {path.parent for path in files}
        if len(names) > 1 or top in parents or (only in parents and not is_part(only.name)):
            return top
        top = only


def passed_through(root: Path, clips: Sequence[Utterance]) -> list[str]:
    """Return sentences on folders that were looked through for the classes; none where there are none."""
    root = root.absolute()
    top = top_folder(root, [clip.path for clip in clips])
    notes = [] if top == root else [f"All lies in {top.relative_to(root).as_posix()}, whose folders are the classes."]
    first = sorted({clip.path.relative_to(top).parts[0] for clip in clips})
    if any(clip.session is not None for clip in clips):
        notes.append(
            f"{one_of(first)} are parts, in which the folders are the classes. Folds are made anew, unless "
            "--folds.kind leave_session_out tests one part after the other."
        )
    elif all(clip.path.relative_to(top).parts[0] != clip.label for clip in clips):
        notes.append(f"{one_of(first)} are no emotions, but the folders in them are, and those are the classes.")
    return notes
