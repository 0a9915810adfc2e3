"""Tasks: what a model is asked of a clip, and the outputs that answer it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from serjax.runtime.constraints import FileName, Finite, Name

MIDDLE = 0.5
"""Value, on a dimension's range from 0 to 1, of an output of 0: training starts in the middle."""

Kind = Literal["class", "soft", "multilabel", "dimensions"]


@dataclass(frozen=True)
class Task:
    """One target of a model.

    Attributes:
        name: of the task, such as emotion.
        kind: class: one of several. soft: shares of several, which add up to 1. multilabel: each label for itself.
            dimensions: named values.
        outputs: names of the classes, labels or dimensions, in the order of the model's outputs.
        ranges: lowest and highest value of each dimension, on the corpus's scale; empty for other kinds.
    """

    name: FileName
    kind: Kind
    outputs: tuple[Name, ...]
    ranges: tuple[tuple[Finite, Finite], ...] = ()

    @property
    def metric(self) -> str:
        """Key of the score that early stopping watches."""
        return metric_of(self.kind)

    def scaled(self, values: Float[np.ndarray, "*n c"]) -> Float[np.ndarray, "*n c"]:
        """Return values of dimensions, 0 to 1 over their ranges, on the corpus's scale; of other kinds as they are."""
        if not self.ranges:
            return values
        low, high = np.array(self.ranges, values.dtype).T
        return low + values * (high - low)


def metric_of(kind: str) -> str:
    """Return the key of the score that early stopping watches for a kind of task."""
    return "ccc" if kind == "dimensions" else "macro_f1"


def places(tasks: Sequence[Task]) -> list[slice]:
    """Return where the outputs of each task stand among a model's outputs."""
    ends = np.cumsum([len(task.outputs) for task in tasks]).tolist()
    return [slice(end - len(task.outputs), end) for task, end in zip(tasks, ends, strict=True)]
