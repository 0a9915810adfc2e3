"""Batches of prepared clips."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from serjax.data.batching.lengths import bucket
from serjax.inference.batched import BATCH, batches, join


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
