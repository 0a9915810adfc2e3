"""Every clip's answer from the fold that did not train on it, and the table that keeps it."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from serjax.runtime.disk import write_text
from serjax.runtime.errors import UserError, reason

_COLUMNS = ["clip", "fold", "label", "prediction", "speaker"]
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
    """

    ids: tuple[str, ...]
    fold: Int[np.ndarray, "clips"]
    label: Int[np.ndarray, "clips"]
    probability: Float[np.ndarray, "clips c"]
    speaker: tuple[str | None, ...]
    labels: tuple[str, ...]

    @property
    def prediction(self) -> Int[np.ndarray, "clips"]:
        """The most probable class of each clip; of equal ones the first."""
        return self.probability.argmax(-1)

    @property
    def groups(self) -> tuple[str | None, ...] | None:
        """The speakers that an interval draws; None where not all are known, or where there is but one."""
        return None if None in self.speaker or len(set(self.speaker)) < 2 else self.speaker


def write_oof_csv(path: Path, oof: OutOfFold) -> None:
    """Write one row a clip: clip, fold, label, prediction, speaker, then a column `p_CLASS` for each class.

    Probabilities have nine significant digits, from which float32 comes back exactly.

    Raises:
        UserError: the disk is full, or the folder cannot be written to.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS + [_PROBABILITY + label for label in oof.labels])
    predictions = oof.prediction
    for row, clip in enumerate(oof.ids):
        names = [oof.labels[oof.label[row]], oof.labels[predictions[row]], oof.speaker[row] or ""]
        writer.writerow([clip, oof.fold[row], *names, *(f"{value:.9g}" for value in oof.probability[row])])
    write_text(path, text.getvalue())


def read_oof_csv(path: Path) -> OutOfFold:
    """Read what `write_oof_csv` wrote.

    Raises:
        UserError: the file is missing, or a column or value is not as `write_oof_csv` writes it.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = list(csv.reader(file)) or [[]]
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read ({reason(error)}); give the oof.csv of a finished run.") from None
    labels = tuple(name.removeprefix(_PROBABILITY) for name in header[len(_COLUMNS) :])
    if header != _COLUMNS + [_PROBABILITY + label for label in labels]:
        raise UserError(
            f"{path}, line 1: the columns must be {', '.join(_COLUMNS)} and then {_PROBABILITY}CLASS for each class; "
            "give the oof.csv of a finished run."
        )
    index = {label: number for number, label in enumerate(labels)}
    fold, label = np.empty(len(rows), int), np.empty(len(rows), int)
    probability = np.empty((len(rows), len(labels)), np.float32)
    for number, row in enumerate(rows):
        try:
            _, number_of_fold, name, _, _, *values = row
            fold[number], label[number] = int(number_of_fold), index[name]
            # Of exactly this shape: numpy would spread a single value over all classes.
            probability[number] = np.array(values, np.float32).reshape(len(labels))
        except (ValueError, KeyError):
            raise UserError(
                f"{path}, row {number + 2}: expected {len(header)} values with a fold's number, one of the classes "
                f"{', '.join(labels)} and probabilities; write the file anew by training again."
            ) from None
    ids = tuple(row[0] for row in rows)
    return OutOfFold(ids, fold, label, probability, tuple(row[4] or None for row in rows), labels)
