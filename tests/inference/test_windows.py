"""Windows that cover a clip, and windows that slide over blocks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serjax.inference.windows import slide, spread


@given(st.integers(1, 5_000), st.integers(1, 700))
def test_spread_windows_cover_a_clip_with_the_fewest(length, window):
    starts = spread(length, window)
    assert len(starts) == max(1, -(-length // window))
    assert starts[0] == 0
    assert starts[-1] == max(0, length - window)
    assert max(np.diff(starts), default=0) <= window


@given(st.lists(st.integers(0, 60), max_size=12), st.integers(1, 50), st.data())
def test_sliding_windows_are_those_of_the_whole_sound(sizes, window, data):
    hop = data.draw(st.integers(1, window))
    total = sum(sizes)
    sound = np.arange(2 * total, dtype=np.float32).reshape(total, 2)
    blocks = np.split(sound, np.cumsum(sizes)[:-1]) if sizes else []
    expected = list(range(0, total - window + 1, hop))
    if total and (not expected or expected[-1] + window < total):
        expected.append(max(0, total - window))
    found = list(slide(iter(blocks), window, hop))
    assert [one.start for one in found] == expected
    for one in found:
        np.testing.assert_array_equal(one.wave, sound[one.start : one.start + window].T)


def test_little_is_held():
    made = 0

    def blocks():
        nonlocal made
        for _ in range(1_000):
            made += 100
            yield np.zeros((100, 1), np.float32)

    for one in slide(blocks(), 250, 50):
        assert one.wave.base is None or one.wave.base.size <= 700
    assert made == 100_000


@pytest.mark.parametrize("blocks", [[], [np.zeros((0, 1), np.float32)]])
def test_empty_sound_has_no_window(blocks):
    assert list(slide(blocks, 10, 5)) == []
