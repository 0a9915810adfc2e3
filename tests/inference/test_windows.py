"""Windows that cover a clip, and windows that slide over blocks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serjax.inference.windows import cut, slide, spread


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


@given(st.lists(st.integers(0, 60), min_size=1, max_size=12), st.integers(1, 50), st.data())
def test_cut_windows_are_those_of_the_whole_sound(sizes, window, data):
    total = sum(sizes)
    spreading = data.draw(st.booleans())
    starts = spread(total, window) if spreading else sorted(data.draw(st.sets(st.integers(0, total), max_size=9)))
    sound = np.arange(2 * total, dtype=np.float32).reshape(total, 2)
    waiting = np.split(sound, np.cumsum(sizes)[:-1])
    blocks = iter(waiting)
    found = list(cut(blocks, starts, window))
    # Of windows that reach over the end the first is yielded.
    over = [start for start in starts if start < total < start + window][:1]
    assert [one.start for one in found] == [start for start in starts if start + window <= total] + over
    for one in found:
        np.testing.assert_array_equal(one.wave, sound[one.start : one.start + window].T)
    assert next(blocks, None) is None


def test_little_is_held():
    made = 0

    def blocks():
        nonlocal made
        for _ in range(1_000):
            made += 100
            yield np.zeros((100, 1), np.float32)

    for windows in (slide(blocks(), 250, 50), cut(blocks(), range(0, 99_000, 777), 250)):
        made = 0
        for one in windows:
            assert one.wave.base is None or one.wave.base.size <= 700
        assert made == 100_000


@pytest.mark.parametrize("blocks", [[], [np.zeros((0, 1), np.float32)]])
def test_empty_sound_has_no_window(blocks):
    assert list(slide(blocks, 10, 5)) == []
