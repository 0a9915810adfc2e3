"""Metrics of steps: each read only after the next step was dispatched, and none lost."""

from hypothesis import given
from hypothesis import strategies as st

from serjax.training.dispatch import LateMetrics


class Axis:
    """Notes when metrics are read."""

    def __init__(self):
        self.read = []

    def gather(self, metrics):
        self.read.append(metrics)
        return metrics


@given(st.lists(st.integers(), max_size=9))
def test_metrics_come_back_in_order_and_once(values):
    late = LateMetrics(Axis())
    for value in values:
        late.add(value)
    assert late.take() == values
    assert late.take() == []


def test_a_step_is_read_after_the_next_one():
    axis = Axis()
    late = LateMetrics(axis)
    late.add("first")
    assert axis.read == []
    late.add("second")
    assert axis.read == ["first"]
    assert late.take() == ["first", "second"]
