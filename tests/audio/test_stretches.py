"""Stretches of recordings whose length is known, and of those that have to be read."""

from pathlib import Path

import numpy as np
import pytest

from serjax.audio.loss import Loss
from serjax.audio.stretches import part_of, stretch
from serjax.runtime.errors import UserError


def test_a_stretch_may_end_in_what_is_missing():
    assert stretch(Path("a"), 100, 10, 5.0, 12.0, missing=3.0) == (50, 100)
    with pytest.raises(UserError, match="end 12 s is not between"):
        stretch(Path("a"), 100, 10, 5.0, 12.0)


def blocks():
    for start in range(0, 100, 7):
        yield np.arange(start, min(100, start + 7), dtype=np.float32)[:, None]


@pytest.mark.parametrize(("first", "last"), [(0, None), (0, 100), (13, 40), (14, 21), (99, None)])
def test_parts_are_slices(first, last):
    found = np.concatenate(list(part_of(blocks(), Path("a"), 10, first, last, Loss(), None)))
    np.testing.assert_array_equal(found[:, 0], np.arange(100)[first:last])


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [(100, None, "start 10 s is outside of the file, which lasts 10.000 s"), (0, 120, "end 12 s is behind the file")],
)
def test_a_part_that_is_not_there_is_said(first, last, said):
    with pytest.raises(UserError, match=said):
        list(part_of(blocks(), Path("a"), 10, first, last, Loss(), None))
