"""Names of classes: spellings of one name made one, missing labels told from classes, and the label map."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError, one_of
from serjax.runtime.json_files import parse_json
from serjax.runtime.text import read_text

MISSING = frozenset(
    """
    nan none null na n/a n.a n\\a nil nat \\n n/v k.a -1 -1.0 -9 -99 -999 -9999 unknown unk undefined unlabeled
    unlabelled unannotated missing empty blank void tbd todo xxx 未知 未标注
    """.split()  # noqa: SIM905
) | {"no label", "no labels", "no data", "not available", "not labeled", "not labelled", "not annotated"}
"""Spellings of a label that is missing, as `_core`; xxx is IEMOCAP's for clips without a majority."""

_CELL_ERRORS = frozenset(("#n/a", "#na", "#value!", "#ref!", "#div/0!", "#name?", "#num!", "#null!"))
"""Words of spreadsheets for cells that have no value."""

_INVISIBLE = frozenset(("Cf", "Cc", "Cs", "Co", "Cn"))
"""Categories of characters that nobody sees: zero-width spaces, marks of direction, control characters."""


class Settled(NamedTuple):
    """Clips whose labels are settled.

    Attributes:
        utterances: with the names of their classes.
        order: of the corpus's classes, in these names.
        notes: sentences on what became of labels.
    """

    utterances: list[Utterance]
    order: tuple[str, ...]
    notes: list[str]


def cleaned(label: str) -> str:
    """Return a label in composed Unicode (NFC), without invisible characters, with single spaces within alone."""
    composed = unicodedata.normalize("NFC", label)
    spaced = re.sub(r"\s+", " ", composed)
    return "".join(char for char in spaced if unicodedata.category(char) not in _INVISIBLE).strip()


def folded(label: str) -> str:
    """Return what spellings of a label have in common: `cleaned`, without regard to case."""
    return unicodedata.normalize("NFC", cleaned(label).casefold())


def is_missing(label: str, asked: Collection[str] = ()) -> bool:
    """Return whether a label is one of the usual spellings of a missing one, unless it is asked for.

    Args:
        label: as written.
        asked: labels that are classes whatever they look like, as `folded`.
    """
    key = folded(label)
    core = _core(key)
    return (key in _CELL_ERRORS or core in MISSING or not core) and (not key or key not in asked)


def _core(key: str) -> str:
    """Return a folded label without what programs put around it, and with a space for underscores and hyphens.

    Of punctuation alone nothing is left; other signs, such as + or faces, may be labels.
    """
    inner = re.sub(r"(?<=\w)[\s_-]+(?=\w)", " ", key.strip("()[]{}<>'\"`.,;:!?*_ "))
    return "" if all(unicodedata.category(char).startswith("P") for char in inner) else inner


def _alike(label: str) -> str:
    """Return what spellings have in common that may be of one class, beside those that `folded` makes one.

    These differ by hyphens, underscores, quotes or points around them, wide letters, dots of Turkish letters, or how a
    number is written.
    """
    wide = unicodedata.normalize("NFKC", folded(label)).casefold().replace("i\u0307", "i").replace("\u0131", "i")
    inner = re.sub(r"(?<=[^\W\d_])[\s_-]+(?=[^\W\d_])", " ", wide.strip("'\"`.,;:!? ")) or wide
    number = re.fullmatch(r"([+-]?)0*([0-9]+)(?:[.]0*)?", inner)
    return number[1].replace("+", "") + number[2] if number else inner


def settle_labels(
    clips: Sequence[Utterance],
    order: Sequence[str],
    *,
    name: str,
    mapping: Mapping[str, str] | None = None,
    path: str = "",
    wanted: Sequence[str] | None = None,
    drop: bool = False,
    labelled: bool = True,
) -> Settled:
    """Return clips with the names of their classes: mapped, and with one spelling for each.

    Labels that differ by case, by spaces around them, by invisible characters or by how Unicode composes them are one
    class. It is called as `wanted` or else `order` calls it, or else by the spelling of most clips, of equally frequent
    ones by that in lower case.

    Args:
        clips: with labels as written.
        order: of the corpus's classes.
        name: of the corpus, for messages.
        mapping: the label map, see `read_label_map`; its keys count as written, or else in any spelling.
        path: of the map, for messages.
        wanted: names of the classes to use, which decide spellings; clips of others stay.
        drop: leave out clips whose labels the map lacks, and keep those whose labels look like missing ones.
        labelled: whether every clip must have a label; else missing ones become "".

    Raises:
        UserError: labels are missing, the map lacks some, or it cannot be told whether spellings are one class.
    """
    counts = Counter(clip.label for clip in clips)
    asked = {folded(label) for label in (*(wanted or ()), *(mapping or ()))}
    lacking = [label for label in counts if is_missing(label, asked)]
    notes = []
    if lacking and labelled and (not drop or any(not folded(label) for label in lacking)):
        raise missing_error(name, [f"{clip.id}: {clip.label!r}" for clip in clips if clip.label in lacking], len(clips))
    names: dict[str, str] = {label: cleaned(label) for label in counts}
    if not labelled:
        names |= dict.fromkeys(lacking, "")
        told = Counter({label: counts[label] for label in lacking if label})
        if told:
            notes.append(f"{told.total()} clips whose label is a usual spelling of none have none ({_listing(told)}).")
    if mapping is not None:
        mapped = {label: _look_up(mapping, label, path) for label in counts if labelled or label not in lacking}
        unknown = Counter({label: counts[label] for label, value in mapped.items() if value is None})
        if unknown and not drop:
            raise UserError(
                f"{path}: the label map has no entry for {one_of(sorted(map(_shown, unknown)))}; add their names, or "
                "choose the mapped classes to use with --data.labels, and the others are left out."
            )
        if unknown:
            notes.append(
                f"{unknown.total()} clips whose labels the map does not have are left out, as --data.labels chooses "
                f"({_listing(unknown)})."
            )
        notes.append(f"Labels are mapped by {Path(path).name}.")
        chosen = {folded(label) for label in wanted or ()}
        none = sorted({value for value in mapped.values() if value is not None and is_missing(value, chosen)})
        if none and labelled:
            raise UserError(
                f"{path}: the label map gives {one_of(list(map(_shown, none)))}, a usual spelling of no label; leave "
                "these entries out and choose the classes to use with --data.labels, or name it there where it is one."
            )
        names |= {label: cleaned(value) for label, value in mapped.items() if value is not None}
        clips = [clip for clip in clips if clip.label not in unknown]
        order = [value for label in order if (value := mapped.get(label)) is not None]
        counts = Counter({label: count for label, count in counts.items() if label not in unknown})
    totals: Counter[str] = Counter()
    for label, count in counts.items():
        totals[names[label]] += count
    one = _one_spelling(totals, order, wanted, name)
    final = {label: one[names[label]] for label in counts}
    notes += _spellings_note(counts, final, mapping is not None)
    changed = {label: value for label, value in final.items() if label != value}
    if changed:
        clips = [_renamed(clip, changed, mapping is None) for clip in clips]
    return Settled(list(clips), tuple(dict.fromkeys(one.get(cleaned(label), label) for label in order)), notes)


def missing_error(name: str, lines: Sequence[str], count: int) -> UserError:
    """Return the error for clips without a label.

    Args:
        name: of the corpus or list.
        lines: the clips, or their lines, and how their labels are written.
        count: of all clips.
    """
    return UserError(
        f"{name}: {len(lines)} of {count} clips have no label, or a usual spelling of none ({one_of(list(lines))}); "
        "fill the labels in or delete the lines, or name all classes to use with --data.labels."
    )


def _look_up(mapping: Mapping[str, str], label: str, path: str) -> str | None:
    """Return what a map says of a label, as written or else in any spelling; None where it has none."""
    exact = mapping.get(label, mapping.get(cleaned(label)))
    if exact is not None:
        return exact
    found = {key: value for key, value in mapping.items() if folded(key) == folded(label)}
    if len(set(found.values())) > 1:
        raise UserError(
            f"{path}: the label {_shown(label)} may be any of its entries {one_of(list(map(_shown, found)))}, which "
            "have different classes; add an entry of that spelling."
        )
    return next(iter(found.values()), None)


def _one_spelling(
    counts: Mapping[str, int], order: Sequence[str], wanted: Sequence[str] | None, name: str
) -> dict[str, str]:
    """Return by each cleaned label the spelling of its class."""
    groups = defaultdict(list)
    for label in counts:
        groups[_alike(label)].append(label)
    chosen: dict[str, str] = {}
    for key, labels in groups.items():
        own = [label for label in wanted or () if _alike(label) == key]
        if len(own) > 1:  # asked for one by one
            chosen |= {label: label for label in labels}
            unclear = [label for label in labels if label not in own]
        else:
            usual = own or [label for label in order if label in labels]
            usual = usual or sorted(labels, key=lambda label: (-counts[label], label != label.lower(), label))
            chosen |= dict.fromkeys(labels, usual[0])
            # One letter is a code, and codes may differ by case; ss may stand for sz, or not.
            differ = (
                len({folded(label) for label in labels}) > 1
                or len({label.lower() for label in labels}) > 1
                or max(map(len, labels)) == 1
            )
            unclear = (
                labels
                if len(labels) > 1 and differ and {folded(label) for label in labels} - set(map(folded, own))
                else []
            )
        if unclear:
            listing = ", ".join(f"{_shown(label)} {counts[label]}" for label in sorted(labels))
            raise UserError(
                f"{name}: it cannot be told whether {listing} are one class or several; give each its name by "
                "--data.label-map, or rename them."
            )
    return chosen


def _spellings_note(counts: Mapping[str, int], final: Mapping[str, str], mapped: bool) -> list[str]:
    """Return a sentence on classes that were spelled in several ways, or otherwise than they are called now."""
    found = defaultdict(list)
    for label, value in final.items():
        if folded(label) == folded(value):  # others were mapped
            found[value].append(label)
    told = [
        f"{value}: {', '.join(f'{_shown(label)} {counts[label]}' for label in sorted(labels))}"
        for value, labels in sorted(found.items())
        if labels != [value] and value
    ]
    if not told:
        return []
    return [
        "Labels that differ by case, spaces, invisible characters or Unicode composition are one class "
        f"({one_of(told)})."
    ]


def _renamed(clip: Utterance, names: Mapping[str, str], votes: bool) -> Utterance:
    clip = replace(clip, label=names.get(clip.label, clip.label))
    if not (votes and any(label in names for label, _ in clip.votes)):
        return clip
    total: dict[str, float] = {}
    for label, number in clip.votes:
        label = names.get(label, label)
        total[label] = total.get(label, 0.0) + number
    return replace(clip, votes=tuple(total.items()))


def read_label_map(path: str) -> dict[str, str]:
    """Read a label map, a JSON object from a corpus's label to the experiment's.

    Raises:
        UserError: the file is missing or is not such an object, or has a key twice.
    """
    text = read_text(Path(path), "the label map", "give a JSON object of strings")
    mapping = parse_json(text, path, remedy="give a JSON object of strings")
    if not isinstance(mapping, dict) or not all(
        isinstance(value, str) and cleaned(value) for value in mapping.values()
    ):
        raise UserError(
            f'{path}: a label map is a JSON object of strings, none empty, such as {{"exc": "happy"}}; rewrite it so.'
        )
    return mapping


def _shown(label: str) -> str:
    """Return a label for a message: as it is where it looks as it is, else quoted, with escapes."""
    return label if label and label == cleaned(label) else ascii(label)


def _listing(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{_shown(label)} {count}" for label, count in sorted(counts.items()))
