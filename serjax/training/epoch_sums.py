"""Sums of an epoch's steps, which go on where the epoch was stopped."""

from collections.abc import Mapping
from typing import NamedTuple, Self

import numpy as np
from jaxtyping import Bool, Float


class EpochSums(NamedTuple):
    """Sums of the steps of an epoch so far.

    Added up step by step in double precision, so that a stop between two steps changes no digit.

    Attributes:
        step: number of steps made.
        loss: sum of the losses of each trial's clips.
        weight: sum of their weights.
        rate: last learning rate of each trial, 0 where it made no step.
        complete: whether the epoch is over.
    """

    step: int
    loss: Float[np.ndarray, "k"]
    weight: Float[np.ndarray, "k"]
    rate: Float[np.ndarray, "k"]
    complete: bool = False

    @classmethod
    def zero(cls, trials: int) -> Self:
        """Return the sums of no steps."""
        return cls(0, np.zeros(trials), np.zeros(trials), np.zeros(trials))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Return the sums that `arrays` returned."""
        loss, weight, rate = (np.asarray(arrays[name]) for name in ("loss", "weight", "rate"))
        return cls(int(arrays["step"]), loss, weight, rate)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the sums of an epoch that is not over, to be saved."""
        return {"step": np.array(self.step), "loss": self.loss, "weight": self.weight, "rate": self.rate}

    def plus(
        self, metrics: Mapping[str, Float[np.ndarray, "k s"]], made: Bool[np.ndarray, "k s"], *, complete: bool
    ) -> "EpochSums":
        """Return the sums after more steps.

        Args:
            metrics: loss, weight and rate of each trial and step.
            made: which trials made which steps.
            complete: whether the epoch is over.
        """
        loss, weight = (
            np.cumsum(np.concatenate([total[:, None], np.where(made, metrics[name], 0)], axis=1), axis=1)[:, -1]
            for name, total in (("loss", self.loss), ("weight", self.weight))
        )
        steps = made.shape[1]
        last = steps - 1 - made[:, ::-1].argmax(1)
        rate = np.where(made.any(1), metrics["rate"][np.arange(len(last)), last], self.rate)
        return EpochSums(self.step + steps, loss, weight, rate, complete)

    @property
    def mean_loss(self) -> Float[np.ndarray, "k"]:
        """Mean loss of each trial."""
        return self.loss / np.maximum(self.weight, 1e-9)
