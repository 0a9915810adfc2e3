"""Metrics of steps: each read only after the next step was dispatched, and none lost."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from serjax.training.dispatch import LateMetrics


class Axis:
    """Notes when metrics are read."""

    def __init__(self):
        self.seen = []

    def read(self, metrics):
        self.seen.append(metrics["loss"].tolist())
        return metrics

    def merge(self, parts):
        return parts


def metrics(value):
    return {"loss": np.array([value, -value])}


@given(st.lists(st.integers(-99, 99), min_size=1, max_size=9))
def test_metrics_come_back_in_order_and_once(values):
    late = LateMetrics(Axis())
    for _ in range(2):
        for value in values:
            late.add(metrics(value))
        assert late.take()["loss"].tolist() == [values, [-value for value in values]]


def test_a_step_is_read_after_the_next_one():
    axis = Axis()
    late = LateMetrics(axis)
    late.add(metrics(1))
    assert axis.seen == []
    late.add(metrics(2))
    assert axis.seen == [[1, -1]]
    assert late.take()["loss"].tolist() == [[1, 2], [-1, -2]]
