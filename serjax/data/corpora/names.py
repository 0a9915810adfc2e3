"""Speakers and labels in the names of files and folders: found by a pattern, or offered where they seem to be."""

import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError, one_of

_ROLES = {
    **dict.fromkeys(("train", "training", "tr", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "devel", "development"), "validation"),
    **dict.fromkeys(("test", "testing", "te", "tst", "holdout", "heldout"), "test"),
    # Some call so what validates, others what is tested.
    **dict.fromkeys(("eval", "evaluation"), None),
}
PARTS = frozenset(_ROLES)
"""Names of folders that hold a part of a corpus, not a class."""

_BESIDE_PARTS = frozenset(
    """
    set sets split splits data clean other audio wav wavs clips complete part fold partition files public private seen
    unseen full final
    """.split()  # noqa: SIM905
)
"""Words that stand beside the name of a part, as in train_set or test_clean."""

_MOST = 200
"""Most values that are taken for speakers; of more, nearly all are counters or codes of sentences."""
_CLIPS = 3
"""Fewest clips of a value, on average."""
_SEXES = frozenset(("m", "f", "male", "female", "man", "woman", "men", "women", "boy", "girl", "mal", "fem"))
"""Words that are none of speakers by themselves, though with a number."""
_OTHERS = PARTS | frozenset(
    """
    audio chunk clip file line low high lo hi md medium mid strong normal xx no nr num number part phrase rec
    record recording rep repetition sample scene script seg segment sent sentence session ses song sound speech
    statement take text track trial utt utterance v ver version vid video wav word set fold dia dialog dialogue
    conv conversation dlg topic story chapter page book episode ep scenario example item index idx stimulus stim
    """.split()  # noqa: SIM905
)
"""Words that are none of speakers, with a number or without."""

_WORD = re.compile(
    r"(?<![A-Za-z])(?i:speaker|spkr|spk|actor|actress|subject|subj|participant|talker)[_ -]?(?=[A-Za-z0-9])"
)
_DATE = re.compile(r"(?:^|/)(?:(?:19|20)\d\d[-_.]?[01]\d[-_.]?[0-3]\d|[0-3]?\d[-_.][01]?\d[-_.](?:19|20)\d\d)[^/]*$")
_TIME = re.compile(r"(?:^|/)[0-2]\d[-_.][0-5]\d[-_.][0-5]\d(?:\.\w+)?$")


def is_part(name: str) -> bool:
    """Return whether a folder's name is that of a part of a corpus, such as train, test_clean, Trainset or dev-2."""
    found = _part_words(name)
    return bool(found) and all(word in PARTS for word in found)


def part_role(name: str) -> str | None:
    """Return train, validation or test for the name of such a part, such as Test1; None for others and for eval."""
    roles = {_ROLES[word] for word in _part_words(name)} if is_part(name) else set()
    return roles.pop() if len(roles) == 1 else None


def _part_words(name: str) -> list[str]:
    """Return the words of a name, without what stands beside the name of a part."""
    words = [re.sub(r"^(.+)(set|data)$", r"\1", word) for word in re.findall(r"[a-z]+", name.lower())]
    return [word for word in words if word not in _BESIDE_PARTS]


class Recurring(NamedTuple):
    """Part of the clips' names that recurs as speakers do.

    Attributes:
        pattern: regular expression that finds it, for `data.speaker_pattern`.
        values: what it finds, sorted.
    """

    pattern: str
    values: tuple[str, ...]

    @property
    def offer(self) -> str:
        """The option that would use it, with the number of speakers that it finds."""
        return f"--data.speaker-pattern {shlex.quote(self.pattern)} ({len(self.values)} speakers)"


def paths_below(clips: Sequence[Utterance], root: Path) -> list[str]:
    """Return each clip's path below the folder `root`, or the folder of the list `root`; elsewhere its id."""
    # As text, since comparing paths part by part takes far more work.
    start = f"{(root.parent if root.is_file() else root).absolute().as_posix().rstrip('/')}/"
    paths = (clip.path.as_posix() for clip in clips)
    return [
        path.removeprefix(start) if path.startswith(start) else clip.id for clip, path in zip(clips, paths, strict=True)
    ]


def name_by_pattern(
    clips: Sequence[Utterance], pattern: str, what: Literal["speaker", "label"], root: Path
) -> list[Utterance]:
    """Set speakers or labels by a regular expression, searched in each clip's path below root and then in its id.

    The group called as `what` counts; without it the only group, or else the match itself.

    Raises:
        UserError: it is no regular expression, has several groups and none of that name, or finds nothing in a clip.
    """
    option = f"--data.{what}-pattern {pattern}"
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UserError(f"{option}: not a regular expression ({error}); correct it.") from None
    if what not in expression.groupindex and expression.groups > 1:
        raise UserError(
            f"{option}: it has {expression.groups} groups and none called {what}; name one, as in (?P<{what}>[a-z]+)."
        )
    group: str | int = what if what in expression.groupindex else expression.groups
    named, others = [], []
    for clip, below in zip(clips, paths_below(clips, root), strict=True):
        match = expression.search(below) or expression.search(clip.id)
        if match and match[group]:
            found = match[group]
            named.append(replace(clip, speaker=found) if what == "speaker" else replace(clip, label=found))
        else:
            others.append(below)
    if others:
        raise UserError(
            f"{option}: it finds no {what} in {len(others)} of {len(clips)} clips ({one_of(others)}); correct the "
            "pattern."
        )
    return named


def find_recurring(paths: Sequence[str], labels: Sequence[str]) -> Recurring | None:
    """Return the first part of the names that recurs as speakers do, or None.

    These are looked at in turn: a word for speakers with a number (`spk3`, `Actor_03`); folders other than those of
    classes; the fields of the file's name between separators, from the left (`SM1_F10_A010`: SM1); a sex and a number
    (`F_03`); letters and digits, letters, or digits that begin a longer name (`F01A05`, `DC12`, `03a01`).

    A part is taken for speakers where it has 2 to 200 values, which hold three clips or more on average, most of them
    of two classes or more, and more than one clip a value and class: a counter that begins anew in every class has
    one. A field after the first must be letters with digits. Digits alone must begin the name, have three values or
    more and two clips a value and class, and be no date or time; numbers of takes or sentences at this place cannot be
    told from speakers. Words such as clip, take, female or test are none.

    Args:
        paths: of the clips, below the root, with slashes.
        labels: of the clips.
    """
    if not paths:
        return None
    dated = any(_DATE.search(path) or _TIME.search(path) for path in paths)
    for pattern, least in _patterns(paths):
        values = _values(re.compile(pattern), paths)
        if values is None:
            continue
        if not any(char.isalpha() for value in values for char in value):
            if dated or len(set(values)) < 3:
                continue
            least = max(least, 2)
        if _are_speakers(values, labels, least):
            return Recurring(pattern, tuple(sorted(set(values))))
    return None


def _values(expression: re.Pattern[str], paths: Sequence[str]) -> list[str] | None:
    """Return what is found in each path; None where one has nothing, or where there are too many values."""
    values: list[str] = []
    different: set[str] = set()
    for path in paths:
        match = expression.search(path)
        if match is None or len(different) > _MOST:
            return None
        values.append(match["speaker"])
        different.add(values[-1])
    return values


def _patterns(paths: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Yield regular expressions, and how many clips a value must have in each of its classes on average."""
    word = _WORD.search(paths[0])
    if word:
        for number in (r"\d+", "[A-Za-z0-9]+"):
            yield rf"(?P<speaker>{word[0]}{number})", 0
    for depth in range(min(path.count("/") for path in paths)):
        yield rf"^{f'(?:[^/]+/){{{depth}}}' if depth else ''}(?P<speaker>[^/]+)/", 1
    stems = [path.rpartition("/")[2].rpartition(".")[0] or path.rpartition("/")[2] for path in paths]
    for separator in (one for one in "_- ." if all(one in stem for stem in stems)):
        gap = re.escape(separator) if separator == "." else separator
        field = rf"[^/.{separator.strip('.')}]+"
        yield rf"(?P<speaker>{field}){gap}[^/]*$", 1.5
        for place in range(1, min(stem.count(separator) for stem in stems)):
            yield rf"(?<![^/])(?:{field}{gap}){{{place}}}(?P<speaker>[A-Za-z]+\d+){gap}[^/]*$", 1.5
        yield rf"(?<![^/])(?P<speaker>[MFmf]{gap}\d+){gap}[^/]*$", 1.5
    yield r"(?<![^/])(?P<speaker>[A-Za-z]+\d+)[A-Za-z][^/]*$", 1.5
    yield r"(?<![^/])(?P<speaker>[A-Za-z]{2,})\d[^/]*$", 1.5
    yield r"(?<![^/])(?P<speaker>\d+)[A-Za-z][^/]*$", 2


def _are_speakers(values: Sequence[str], labels: Sequence[str], least: float) -> bool:
    """Return whether values recur as speakers do; each of their cells with a class has `least` clips on average."""
    counts = Counter(values)
    if not 2 <= len(counts) <= _MOST or len(values) < _CLIPS * len(counts):
        return False
    words = {re.sub(r"[\W\d_]+$", "", value).lower() for value in counts}
    if all(map(is_part, counts)):
        return False
    if words - {""} and (words <= _OTHERS or {value.lower() for value in counts} <= _OTHERS | _SEXES):
        return False
    classes = defaultdict(set)
    for value, label in zip(values, labels, strict=True):
        classes[value].add(label)
    several = [value for value, found in classes.items() if len(found) > 1]
    cells = sum(map(len, classes.values()))
    return (
        2 * len(several) >= len(counts)
        and sum(counts[value] for value in several) >= 0.8 * len(values)
        and len(values) >= least * cells
    )
