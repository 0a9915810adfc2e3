"""Dispatch of steps: metrics are read one step late, so that the device always has a step to compute."""

from typing import Any

import jax
import numpy as np

from serjax.training.fold_axis import FoldAxis, PerFold


class LateMetrics:
    """Metrics of steps on the host, each read only after the next step was dispatched.

    Reading waits for the step that is read, which also keeps the queue of dispatched steps short. A process reads what
    its own devices hold; all of it comes together in `take`.
    """

    def __init__(self, axis: FoldAxis) -> None:
        """Hold nothing yet."""
        self._axis = axis
        self._waiting: list[PerFold] = []
        self._read: list[Any] = []

    def add(self, metrics: PerFold) -> None:
        """Take the metrics of the step just dispatched, and read those of the one before."""
        if self._waiting:
            self._read.append(self._axis.read(self._waiting.pop()))
        self._waiting.append(metrics)

    def take(self) -> Any:
        """Return all metrics [k s] since the last call, and forget them; there are some."""
        read = self._read + [self._axis.read(metrics) for metrics in self._waiting]
        self._waiting, self._read = [], []
        return self._axis.merge(jax.tree.map(lambda *steps: np.stack(steps, axis=1), *read))
