"""What is cut and how far it is padded."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serjax.data.batching.lengths import bucket, crop_clip


@pytest.mark.parametrize(("crop", "start"), [("head", 0), ("centre", 2)])
def test_crops_of_one_clip(crop, start):
    clip = np.arange(11, dtype=np.float32)
    assert crop_clip(clip, 6, crop).tolist() == list(range(start, start + 6))
    assert crop_clip(clip, 11, crop).tolist() == clip.tolist()
    assert crop_clip(clip, 99, crop).tolist() == clip.tolist()
    assert np.shares_memory(crop_clip(clip, 6, crop), clip)


@given(st.integers(1, 16_000 * 600), st.floats(1.05, 2))
def test_buckets_hold_their_input_and_waste_little(samples, ratio):
    length = bucket(samples, ratio=ratio)
    assert length % 320 == 0
    assert length >= samples
    assert length < max(samples * ratio + 2 * 320, 16_001)
    assert bucket(length, ratio=ratio) == length


def test_few_buckets_serve_half_a_minute():
    assert len({bucket(samples) for samples in range(1, 30 * 16_000, 160)}) == 17
