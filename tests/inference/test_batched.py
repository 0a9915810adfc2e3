"""Batches of prepared clips."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from serjax.data.batching.lengths import bucket
from serjax.inference.batched import BATCH, batches, join, padded, windows_a_call


@given(st.lists(st.integers(400, 500_000), max_size=40))
def test_batches_hold_every_clip_once_and_are_padded_alike(lengths):
    found = list(batches(lengths))
    assert sorted(index for batch in found for index in batch) == list(range(len(lengths)))
    for batch in found:
        assert len(batch) in (1, 2, 4, BATCH)
        assert len({bucket(lengths[index]) for index in batch}) == 1


def test_waves_are_padded_with_zeros_to_a_bucket():
    waves = [np.ones(500, np.float32), np.full(20_000, 2, np.float32)]
    found = join(waves)
    assert found.wave.shape == (2, bucket(20_000))
    np.testing.assert_array_equal(found.lengths, [500, 20_000])
    np.testing.assert_array_equal(found.wave[0], np.pad(waves[0], (0, bucket(20_000) - 500)))
    assert found.video is None


@given(st.lists(st.integers(400, 60_000), min_size=1, max_size=20), st.integers(60_000, 100_000))
def test_no_clip_is_padded_beyond_the_longest(lengths, longest):
    for batch in batches(lengths, longest):
        waves = [np.ones(lengths[index], np.float32) for index in batch]
        width = join(waves, longest=longest).wave.shape[1]
        assert {padded(len(wave), longest) for wave in waves} == {width}
        assert max(map(len, waves)) <= width <= longest + 319
        assert width in (bucket(max(map(len, waves))), -(-longest // 320) * 320)


def test_windows_of_3_s_are_not_padded():
    assert padded(48_000) > 48_000
    assert padded(48_000, 48_000) == 48_000
    assert padded(47_000, 48_000) == 48_000
    assert padded(100, 6_401) == 6_720


def test_long_windows_come_in_smaller_calls():
    assert [windows_a_call(16_000 * seconds) for seconds in (1, 3, 4, 5, 10, 30, 60)] == [8, 4, 4, 2, 1, 1, 1]


def test_a_call_has_a_minute_of_sound_at_most():
    assert [len(batch) for batch in batches([16_000 * 29] * 5)] == [2, 2, 1]
    assert [len(batch) for batch in batches([16_000 * 100] * 2)] == [1, 1]
