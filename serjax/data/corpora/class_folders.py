"""A folder a class: which level of folders holds the classes, and which only parts, speakers or corpora."""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from serjax.data.corpora.filenames import LAYOUTS
from serjax.data.corpora.folders import clip_id, is_hidden
from serjax.data.corpora.names import is_part, part_role
from serjax.data.corpora.versions import is_version
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError, one_of
from serjax.runtime.remote import is_remote

_EMOTIONS = frozenset(
    """
    anger angry ang annoyed anxiety anxious aroused arousal bored boredom calm contempt disgust disgusted dis excited
    excitement exc fear fearful fea frustrated frustration fru happiness happy hap joy joyful negative neu neutral
    other pain positive relaxed sad sadness sarcastic sleepy stress stressed surprise surprised sur unhappy worried
    """.split()  # noqa: SIM905
)
"""Words that name classes."""
_SAME = 0.8
"""Share of equal names in the first folders from which on neither level is surely the classes'."""

_SPEAKER = re.compile(
    r"(?i)(?:speaker|spkr|spk|actor|actress|subject|subj|participant|talker|person|user|client|patient|child)"
    r"[_ .-]?[a-z]?\d+|(?:speaker|spkr|spk|actor|actress|subject|subj|participant|talker)[_ .-][a-z]+"
    r"|(?:male|female|man|woman|boy|girl|guy|id|voice)[_ .-]?\d+"
)
_SEXES = frozenset(
    """
    m f male female man woman men women boy girl boys girls males females adult adults child children kid kids teen
    teens teenager teenagers elderly senior seniors old young weiblich männlich maennlich
    """.split()  # noqa: SIM905
)
"""Words for people by sex and age."""
_DATE = re.compile(r"(?:19|20)\d\d[-_.]?[01]\d(?:[-_.]?[0-3]\d)?|[0-3]?\d[-_.][01]?\d[-_.](?:19|20)\d\d")
_AGES = re.compile(r"\d{1,2}(?:-| to )\d{1,2}")
_DEGREES = frozenset("very slightly strong weak high low hi lo mid medium mild normal more less not non no".split())  # noqa: SIM905
"""Words before an emotion that say how much of it there is, and are no speakers."""
_DIVISION = re.compile(
    r"(?i)(?:session|sess|ses|fold|set|disc|disk|cd|part|dialog|dialogue|recording|rec|batch|chunk|split|day)[_ .-]?\d+"
)
_CODE = re.compile(r"(?!(?i:c|e|l|q|cls|cat|emo|lab)[_-]?\d)[A-Za-z]{1,3}[_-]?\d{1,4}")
"""Codes such as JL1 and s03, but for those that may number classes, emotions, labels or quadrants."""
_FEW, _MANY = 3, 13
"""Classes that are codes, or numbers, from which on they are taken for speakers; fewer numbers are those of classes."""
_CORPORA = frozenset(
    {re.sub(r"\W", "", layout.title.lower()) for layout in LAYOUTS.values()}
    | set(
        """
        berlin crema enterface iemocap jlcorpus mead meld mspimprov msppodcast emov casia baum mosei cmumosei baum1 jl
        """.split()  # noqa: SIM905
    )
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
    part = next((one for one in range(level) if all(is_part(parts[one]) for parts in places)), None)
    clips = [
        Utterance(id=clip_id(path, root), path=path, label=parts[level], session=None if part is None else parts[part])
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
    """Return at which level of folders the classes are: the first where all are emotions, or else behind parts."""
    names: list[set[str]] = []
    for level in range(min(len(parts) for parts in places) - 1):
        names.append({parts[level] for parts in places})
    emotions = next((level for level, found in enumerate(names) if any(map(_is_emotion, found))), None)
    sure = emotions is not None and len(names[emotions]) > 1 and all(map(_is_emotion, names[emotions]))
    if emotions is not None and (sure or emotions == 0):
        return emotions
    inside: dict[str, set[str | None]] = defaultdict(set)
    for parts in places:
        if len(parts) > 1:
            inside[parts[0]].add(parts[1] if len(parts) > 2 else None)
    first, second = list(inside), set().union(*inside.values())
    if first and all(map(is_part, first)):
        return 1
    if len(first) < 2 or len(second) < 2 or None in second:
        return 0
    found = sorted(name for name in second if name)
    same = sum(map(len, inside.values())) >= _SAME * len(first) * len(second)
    if not same or _strange(found)[0] == found:
        return 0
    raise UserError(
        f"--data.root {top}: its folders {one_of(first)} all hold the folders {one_of(found)}, and either may be the "
        "classes; say --data.corpus folder for the first, or --data.label-pattern '([^/]+)/[^/]+$' for those in them."
    )


def _refuse_others(top: Path, classes: Sequence[str]) -> None:
    """Raise a `UserError` where half of the classes or more look like something else."""
    strange, what = _strange(classes)
    if 2 * len(strange) >= len(classes):
        remedy = {
            "speakers": "say with --data.label-pattern where the names hold the label, give a list of",
            "parts of a corpus": "give one of them, or a list of",
            "corpora": "give one of them, or a list of",
            "versions of the same recordings": "give one of them, or a list of",
        }.get(what, "give the folder of classes, a list of")
        raise UserError(
            f"--data.root {top}: its folders {one_of(strange)} are {what}, not classes; {remedy} paths and labels, or "
            "say --data.corpus folder where they are the classes."
        )
    # A speaker and an emotion in one name: each class is then of one speaker.
    for pattern in (r"([^_\s-]+)[_\s-]+(.+)", r"(.+)[_\s-]+([^_\s-]+)"):
        pairs = [found.groups() for name in classes if (found := re.fullmatch(pattern, name))]
        for one, other in ((0, 1), (1, 0)):
            people = sorted({pair[one] for pair in pairs if _is_emotion(pair[other]) and not _is_emotion(pair[one])})
            several = len(pairs) == len(classes) > len(people) > 1 and len(pairs) >= _FEW
            told = all(name.isupper() or _CODE.fullmatch(name) or _strange([name])[0] for name in people)
            # Each of some words with each of the emotions: so are people, and parts.
            emotions = {pair[other] for pair in pairs}
            each = len(pairs) == len(people) * len(emotions) and len(emotions) > 1
            if several and (told or (each and not {name.lower() for name in people} & _DEGREES)):
                groups = ("(?P<speaker>[^/_]+)", "(?P<label>[^/]+)")[:: 1 if one == 0 else -1]
                place = f"^{groups[0]}_{groups[1]}/"
                raise UserError(
                    f"--data.root {top}: its folders {one_of(list(classes), 4)} name a speaker ({one_of(people)}) and "
                    f"an emotion each, so that every class would be of one speaker; say --data.label-pattern and "
                    f"--data.speaker-pattern, as in '{place}', or --data.corpus folder where they are the classes."
                )


def _strange(names: Sequence[str]) -> tuple[list[str], str]:
    """Return those of some folders' names that look like no classes, and what they look like."""
    kinds: dict[str, list[str]] = defaultdict(list)
    sexes = all(name.lower() in _SEXES or _AGES.fullmatch(name) for name in names)
    codes = len(names) >= _FEW and all(map(_CODE.fullmatch, names))
    numbers = all(map(str.isdecimal, names)) and (
        len(names) >= _MANY or (len(names) >= _FEW and all(len(name) > 2 for name in names))
    )
    for name in names:
        # One letter may be the code of an emotion.
        sex = (name.lower() in _SEXES and len(name) > 1) or (sexes and (len(names) > 1 or name.lower() in _SEXES))
        if _SPEAKER.fullmatch(name) or sex or codes or numbers:
            kinds["speakers"].append(name)
        elif is_part(name) or _DIVISION.fullmatch(name) or _DATE.fullmatch(name):
            kinds["parts of a corpus"].append(name)
        elif re.sub(r"[^a-z0-9-].*", "", name.lower()).replace("-", "") in _CORPORA:
            kinds["corpora"].append(name)
        elif is_version(name):
            kinds["versions of the same recordings"].append(name)
    order = sorted(kinds, key=lambda kind: -len(kinds[kind]))
    found = [name for name in names if any(name in kind for kind in kinds.values())]
    return found, " or ".join(order)


def require_voices(root: Path, clips: Sequence[Utterance]) -> None:
    """Raise a `UserError` where several speakers are named, but each class is of a single one."""
    voices: dict[str, set[str | None]] = defaultdict(set)
    for clip in clips:
        voices[clip.label].add(clip.speaker)
    speakers = sorted({str(name) for found in voices.values() for name in found})
    if len(clips) > len(voices) and len(speakers) > 1 and all(len(found) == 1 for found in voices.values()):
        raise UserError(
            f"--data.root {root}: each of its classes ({one_of(sorted(voices), 4)}) is of one speaker "
            f"({one_of(speakers, 4)}), so that emotions cannot be told from voices; see that labels and speakers are "
            "read as meant, or say --data.corpus folder where they are."
        )


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
    first = sorted({clip.path.relative_to(top).parts[0] for clip in clips})
    labels = {clip.label for clip in clips}
    direct = ", whose folders are the classes" if set(first) == labels else ""
    notes = [] if top == root else [f"All lies in {top.relative_to(root).as_posix()}{direct}."]
    parts = sorted({clip.session for clip in clips if clip.session is not None})
    if parts:
        offer = "--folds.kind leave_session_out tests one part after the other"
        if {"train", "test"} <= {part_role(part) for part in parts}:
            offer = "--folds.kind parts trains and tests as they say"
        notes.append(
            f"{one_of(parts)} are parts, in which the folders are the classes. Folds are made anew, unless {offer}."
        )
    elif not any(map(_is_emotion, labels)):
        notes.append(
            f"No class has the name of an emotion that serjax knows ({one_of(sorted(labels))}); see that they are no "
            "speakers or the like."
        )
    elif all(clip.path.relative_to(top).parts[0] != clip.label for clip in clips):
        notes.append(f"{one_of(first)} are no emotions, but the folders in them are, and those are the classes.")
    # A store of objects has no empty folders.
    if not is_remote(top) and top.is_dir() and set(first) == labels:
        without = sorted(
            path.name
            for path in top.iterdir()
            if path.is_dir() and not is_hidden(Path(path.name)) and path.name not in first
        )
        if without:
            notes.append(f"There is no sound file that is read in {one_of(without)}, which is no class.")
    return notes
