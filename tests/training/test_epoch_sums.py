"""Sums of an epoch's steps: the same to the last digit wherever the epoch is stopped, and only of steps that count."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serjax.training.epoch_sums import EpochSums


def metrics(steps):
    rng = np.random.default_rng(0)
    return {name: rng.normal(3, 1, (2, steps)).astype(np.float32) for name in ("loss", "weight", "rate")}


@given(st.integers(2, 30), st.data())
def test_a_stop_changes_no_digit(steps, data):
    values, stop = metrics(steps), data.draw(st.integers(1, steps - 1))
    made = np.arange(steps) < np.array([[steps], [data.draw(st.integers(0, steps))]])
    whole = EpochSums.zero(2).plus(values, made, complete=True)
    first = EpochSums.zero(2).plus({k: v[:, :stop] for k, v in values.items()}, made[:, :stop], complete=False)
    saved = EpochSums.from_arrays(first.arrays())
    again = saved.plus({k: v[:, stop:] for k, v in values.items()}, made[:, stop:], complete=True)
    assert again.step == whole.step == steps
    for name in ("loss", "weight", "rate"):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))


def test_means_and_rates_are_those_of_steps_that_were_made():
    values = {
        "loss": np.array([[2.0, 4.0, np.nan], [1.0, 1.0, 1.0]]),
        "weight": np.array([[1.0, 2.0, np.nan], [1.0, 1.0, 1.0]]),
        "rate": np.array([[0.1, 0.2, 0.3], [0.5, 0.6, 0.7]]),
    }
    made = np.array([[True, True, False], [False, False, False]])
    sums = EpochSums.zero(2).plus(values, made, complete=True)
    assert sums.mean_loss.tolist() == pytest.approx([2.0, 0.0])
    assert sums.rate.tolist() == [0.2, 0.0]
