"""Suspicions about the names of classes: parts, speakers, sexes or corpora in their place, spellings, missing ones."""

import difflib
import json
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from serjax.data.corpora.label_names import is_missing
from serjax.data.corpora.names import PARTS, is_part
from serjax.data.suspicions.record import Suspicion, plural
from serjax.data.utterance import Utterance
from serjax.runtime.errors import one_of

SEXES = frozenset(("m", "f", "male", "female", "man", "woman", "men", "women", "boy", "girl", "males", "females"))
"""Words that are classes of a voice, not of an emotion."""
CORPORA = frozenset(
    """
    ravdess emodb berlin cremad crema savee tess iemocap meld msp msppodcast mspimprov nemo esd emovo aesdd cafe jl
    subesco shemo emov emovdb baum1 baum urdu mead enterface casia emotionlines cmumosei
    """.split()  # noqa: SIM905
)
"""Names of corpora in lower case, letters and digits alone."""
NEAR = 0.8
"""Similarity (`difflib.SequenceMatcher.ratio`) from which on a rare label counts as a misspelling of a frequent one."""
RARE = 3
"""Times as many clips as a misspelling that the right spelling has at least."""

_PERSON = re.compile(
    r"(?i:speaker|spkr|spk|actor|actress|subject|subj|participant|talker|person|user|client)[_ .-]?[A-Za-z]?\d+"
)
_CODE = re.compile(r"[A-Za-z]{1,3}[_-]?\d{1,4}")
_MANY = 100
"""Classes from which on misspellings are not looked for: each is compared with all others."""
_LEAST = 3
"""Classes that are codes or numbers, from which on they are taken for speakers."""
_MANY_NUMBERS = 13
"""Classes that are numbers, from which on they are no classes of emotions any more; fewer are numbers of classes."""


def of_labels(utterances: Sequence[Utterance]) -> Iterator[Suspicion]:
    """Yield what is suspicious about the names of the classes.

    Args:
        utterances: clips with labels, as the corpus or the label map gives them.
    """
    counts = Counter(clip.label for clip in utterances)
    if not any(counts.keys()):  # a list of values may have no labels
        return
    labels = sorted(counts)
    yield from _missing(counts, utterances)
    yield from _parts(labels)
    yield from _speakers(labels)
    if all(label.casefold() in SEXES for label in labels):
        yield Suspicion(
            "sexes_as_classes",
            f"The classes {one_of(labels)} are sexes of speakers.",
            "Where emotions are to be told apart, say with --data.label-pattern where the clips' paths hold them, or "
            "give a list with a column for the label.",
        )
    corpora = [label for label in labels if _words(label) & CORPORA or _plain(label) in CORPORA]
    if corpora:
        yield Suspicion(
            "corpora_as_classes",
            f"Names of corpora are taken for classes: {one_of(corpora)}.",
            "Give the folder of one corpus as the root, or a list of all clips with their labels.",
        )
    yield from _two_things([label for label in labels if label not in corpora])
    yield from _spellings(counts)


def spelled(label: str) -> str:
    """Return a label without what spellings differ by: case, Unicode composition, spaces, underscores and hyphens."""
    return " ".join(re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFKC", label)).casefold().split())


def _missing(counts: Counter[str], utterances: Sequence[Utterance]) -> Iterator[Suspicion]:
    found = [label for label in counts if is_missing(label)]
    if found:
        clips = tuple(clip.id for clip in utterances if clip.label in found)
        names = one_of([label or "(nothing)" for label in sorted(found)])
        yield Suspicion(
            "missing_labels",
            f"{plural(len(clips))} with a label that usually stands for a missing one: {names}.",
            "Fill the labels in, or choose the classes to use with --data.labels; other clips are then left out.",
            clips,
        )


def _parts(labels: Sequence[str]) -> Iterator[Suspicion]:
    parts = [label for label in labels if is_part(label)]
    if parts:
        # Beside a part others are parts that have more to their names, such as test_clean.
        parts += [label for label in labels if label not in parts and _words(label) & PARTS]
        yield Suspicion(
            "parts_as_classes",
            f"Parts of a corpus are taken for classes: {one_of(parts)}.",
            "Give the folder of one part as the root, or say with --data.label-pattern where the clips' paths hold the "
            "label.",
        )


def _speakers(labels: Sequence[str]) -> Iterator[Suspicion]:
    people = [label for label in labels if _PERSON.fullmatch(label.strip())]
    codes = all(_CODE.fullmatch(label.strip()) for label in labels) and len(labels) >= _LEAST
    numbers = all(label.strip().isdecimal() for label in labels) and len(labels) >= _MANY_NUMBERS
    if people or codes or numbers:
        yield Suspicion(
            "speakers_as_classes",
            f"Speakers seem to be taken for classes: {one_of(people or list(labels))}.",
            "Say with --data.label-pattern and --data.speaker-pattern where the clips' paths hold the label and the "
            "speaker, or give a list with columns for both.",
        )


def _two_things(labels: Sequence[str]) -> Iterator[Suspicion]:
    """Yield classes such as OAF_angry and YAF_angry, which say a speaker or so beside the emotion."""
    for expression in (r"([^_\s-]+)[_\s-]+(.+)", r"(.+)[_\s-]+([^_\s-]+)"):
        pairs = [found.groups() for label in labels if (found := re.fullmatch(expression, label.strip()))]
        if len(pairs) < 0.8 * len(labels) or len(pairs) < 4:
            continue
        for one, other in ((0, 1), (1, 0)):
            under = defaultdict(set)
            for pair in pairs:
                under[pair[other].casefold()].add(pair[one].casefold())
            kinds = {pair[one].casefold() for pair in pairs}
            several = sum(len(found) > 1 for found in under.values())
            if 2 <= len(kinds) <= len(under) and several >= 2 and 2 * several >= len(under):
                yield Suspicion(
                    "two_things_in_a_class",
                    f"The classes hold two things each, one of {one_of(sorted(kinds))} and one of "
                    f"{one_of(sorted(under))}, as speakers and emotions do.",
                    "Say with --data.label-pattern and --data.speaker-pattern which part is the label and which the "
                    "speaker, or join classes with --data.label-map.",
                )
                return


def _spellings(counts: Counter[str]) -> Iterator[Suspicion]:
    groups = defaultdict(list)
    for label in sorted(counts):
        groups[spelled(label)].append(label)
    for labels in groups.values():
        if len(labels) > 1:
            usual = max(labels, key=lambda label: counts[label])
            other = next(label for label in labels if label != usual)
            names = ", ".join(f"{label!r} ({counts[label]})" for label in labels)
            yield Suspicion(
                "spellings",
                f"The classes {names} differ only by case, spaces or Unicode composition.",
                f"Join them with --data.label-map, a JSON file of all labels with {json.dumps(other)}: "
                f"{json.dumps(usual)}, or rename them.",
            )
    sizes = {key: sum(counts[label] for label in labels) for key, labels in groups.items()}
    for key, size in sizes.items() if len(sizes) <= _MANY else ():
        for near in difflib.get_close_matches(key, [other for other in sizes if other != key], 1, NEAR):
            negated = key.endswith(near) or near.endswith(key)
            if not negated and min(len(key), len(near)) > 3 and sizes[near] >= RARE * size:
                yield Suspicion(
                    "misspelling",
                    f"The class {groups[key][0]} ({plural(size)}) is spelled nearly as {groups[near][0]} "
                    f"({plural(sizes[near])}).",
                    "If it is a misspelling, join them with --data.label-map, or rename it.",
                )


def _plain(label: str) -> str:
    return re.sub(r"[\W_]+", "", label.casefold())


def _words(label: str) -> set[str]:
    return set(re.split(r"[\W_]+", label.casefold()))
