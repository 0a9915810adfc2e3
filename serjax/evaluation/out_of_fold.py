"""Every clip's answer from the fold that did not train on it, and the table that keeps it."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from serjax.runtime.disk import write_text
from serjax.runtime.errors import UserError, one_of, reason

_ANEW = "write the file anew by training again"
_COLUMNS = ["clip", "fold", "label", "prediction", "speaker"]
_SEED = "seed"
_ATTRIBUTES = ("gender", "age")
"""Columns that come next where they are known."""
_PROBABILITY = "p_"
"""Stands before a class in its column's name, so that a class may be called `fold`."""


@dataclass(frozen=True)
class OutOfFold:
    """The answers of all folds for their own test clips; row i of every field is clip i.

    Attributes:
        ids: the clips.
        fold: Int[np.ndarray, "clips"], the fold that tested each clip, counted from 1.
        label: Int[np.ndarray, "clips"], true class, an index into `labels`.
        probability: Float[np.ndarray, "clips c"], float32; each row sums to 1.
        speaker: who speaks, None where that is not known.
        labels: names of the classes.
        attributes: gender and age of the speakers, where some are known; a value a clip, None for unknown ones.
    """

    ids: tuple[str, ...]
    fold: Int[np.ndarray, "clips"]
    label: Int[np.ndarray, "clips"]
    probability: Float[np.ndarray, "clips c"]
    speaker: tuple[str | None, ...]
    labels: tuple[str, ...]
    attributes: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)

    @property
    def prediction(self) -> Int[np.ndarray, "clips"]:
        """The most probable class of each clip; of equal ones the first."""
        return self.probability.argmax(-1)

    @property
    def groups(self) -> tuple[str | None, ...] | None:
        """The speakers that an interval draws; None where not all are known, or where there is but one."""
        return None if None in self.speaker or len(set(self.speaker)) < 2 else self.speaker


def attribute_columns(known: Sequence[tuple[tuple[str, str], ...]]) -> dict[str, tuple[str | None, ...]]:
    """Return attributes by name, with a value a clip, from what is known of each clip's speaker."""
    clips = [dict(attributes) for attributes in known]
    columns = {name: tuple(clip.get(name) for clip in clips) for name in _ATTRIBUTES}
    return {name: values for name, values in columns.items() if any(values)}


def joined_attributes(parts: Sequence[OutOfFold]) -> dict[str, tuple[str | None, ...]]:
    """Return the attributes of the clips of several answers one after the other; None where a part knows none."""
    return {
        name: tuple(value for part in parts for value in part.attributes.get(name, (None,) * len(part.ids)))
        for name in _ATTRIBUTES
        if any(name in part.attributes for part in parts)
    }


def mean_of(seeds: Sequence[OutOfFold]) -> OutOfFold:
    """Return the answers of several seeds together: the mean of their probabilities for each clip.

    Args:
        seeds: of the same clips in the same order.
    """
    return replace(seeds[0], probability=np.stack([one.probability for one in seeds]).mean(0))


def write_oof_csv(path: Path, *seeds: OutOfFold) -> None:
    """Write one row a clip: clip, fold, label, prediction, speaker, gender and age where they are known, `p_CLASS`s.

    Of several seeds there is one row a clip and seed, and a column `seed`, counted from 0, after that of the fold.
    Probabilities have nine significant digits, from which float32 comes back exactly.

    Raises:
        UserError: the disk is full, or the folder cannot be written to.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    known = seeds[0].attributes
    writer.writerow([*_columns(len(seeds), known), *(_PROBABILITY + label for label in seeds[0].labels)])
    for seed, oof in enumerate(seeds):
        predictions, repeat = oof.prediction, [seed] if len(seeds) > 1 else []
        for row, clip in enumerate(oof.ids):
            names = [oof.labels[oof.label[row]], oof.labels[predictions[row]], oof.speaker[row] or ""]
            values = (f"{value:.9g}" for value in oof.probability[row])
            writer.writerow(
                [clip, oof.fold[row], *repeat, *names, *(one[row] or "" for one in known.values()), *values]
            )
    write_text(path, text.getvalue())


def _columns(seeds: int, attributes: Iterable[str]) -> list[str]:
    return [*_COLUMNS[:2], *([_SEED] if seeds > 1 else []), *_COLUMNS[2:], *attributes]


def read_oof_csv(path: Path) -> OutOfFold:
    """Read what `write_oof_csv` wrote, of several seeds the first.

    Raises:
        UserError: see `read_seeds`.
    """
    return read_seeds(path)[0]


def read_seeds(path: Path) -> list[OutOfFold]:
    """Read what `write_oof_csv` wrote, seed by seed.

    Raises:
        UserError: the file is missing, or a column or value is not as `write_oof_csv` writes it.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, *rows = list(csv.reader(file)) or [[]]
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read ({reason(error)}); give the oof.csv of a finished run.") from None
    known = [name for name in _ATTRIBUTES if name in header]
    columns = _columns(2 if header[2:3] == [_SEED] else 1, known)
    labels = tuple(name.removeprefix(_PROBABILITY) for name in header[len(columns) :])
    if header != columns + [_PROBABILITY + label for label in labels] or len(set(labels)) < len(labels):
        raise UserError(
            f"{path}, line 1: the columns must be {', '.join(_COLUMNS)} and then {_PROBABILITY}CLASS for each class; "
            "give the oof.csv of a finished run."
        )
    index = {label: number for number, label in enumerate(labels)}
    strange = next((number for number, row in enumerate(rows, 2) if len(row) != len(header)), None)
    if strange is not None:  # before a table is allotted that the rows would not fill
        raise UserError(f"{path}, row {strange}: expected {len(header)} values; {_ANEW}.")
    fold, label, seed = np.empty(len(rows), int), np.empty(len(rows), int), np.zeros(len(rows), int)
    probability = np.empty((len(rows), len(labels)), np.float32)
    for number, row in enumerate(rows):
        try:
            _, number_of_fold, *repeat, name, _, _ = row[: len(columns) - len(known)]
            values = row[len(columns) :]
            fold[number], label[number] = int(number_of_fold), index[name]
            seed[number] = np.uint16(int(*repeat))
            # Of exactly this shape: numpy would spread a single value over all classes.
            probability[number] = np.array(values, np.float32).reshape(len(labels))
            if not (
                0 < fold[number] < 10_000
                and (probability[number] >= 0).all()
                and np.isfinite(probability[number]).all()
            ):
                raise ValueError
        except (ValueError, KeyError, OverflowError):
            raise UserError(
                f"{path}, row {number + 2}: expected {len(header)} values with a fold's number, one of the classes "
                f"{one_of(list(labels))} and probabilities; {_ANEW}."
            ) from None
    speaker = columns.index("speaker")

    def of(own: Int[np.ndarray, "n"]) -> OutOfFold:
        ids, speakers = (tuple(rows[i][column] for i in own) for column in (0, speaker))
        attributes = {one: tuple(rows[i][columns.index(one)] or None for i in own) for one in known}
        who = tuple(x or None for x in speakers)
        return OutOfFold(ids, fold[own], label[own], probability[own], who, labels, attributes)

    found = [of(np.flatnonzero(seed == one)) for one in range(max(seed, default=0) + 1)]
    if any(one.ids != found[0].ids or (one.label != found[0].label).any() for one in found):
        raise UserError(f"{path}: its seeds are not of the same clips; write the file anew by training again.")
    return found
