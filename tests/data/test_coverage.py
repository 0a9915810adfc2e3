"""Sound that crops leave out: counted clip by clip, and told where it is more than a little."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serjax.data.batching.lengths import crop_clip
from serjax.data.coverage import TOLD, measure_coverage, unheard_note


@given(st.lists(st.integers(1, 2000), min_size=1, max_size=20), st.sampled_from([0.01, 0.05, 0.125]))
def test_what_is_left_out_is_what_evaluation_does_not_keep(lengths, seconds):
    found = measure_coverage(np.array(lengths), seconds)
    kept = sum(len(crop_clip(np.zeros(n, np.float32), round(seconds * 16000), "head")) for n in lengths)
    assert found.seconds == pytest.approx(sum(lengths) / 16000)
    assert found.unheard == pytest.approx((sum(lengths) - kept) / 16000)
    assert found.longer == sum(n > seconds * 16000 for n in lengths)
    assert found.share == pytest.approx(1 - kept / sum(lengths))


def test_the_sentence_says_how_much_and_of_which_part():
    found = measure_coverage(np.array([2 * 16000, 4 * 16000, 6 * 16000, 4 * 16000]), 3.0)
    assert unheard_note(found, "head") == (
        "Evaluation hears the first 3 s of a clip (data.max_seconds): 75% of the clips are longer, and 31% of all "
        "sound is never heard in it."
    )
    assert "the middle 3 s" in unheard_note(found, "centre")


def test_a_little_is_not_told():
    lengths = np.full(100, 3 * 16000)
    assert unheard_note(measure_coverage(lengths, 3.0), "head") is None
    lengths[:3] *= 2
    found = measure_coverage(lengths, 3.0)
    assert 0 < found.share < TOLD
    assert unheard_note(found, "head") is None
    assert measure_coverage(np.zeros(4, np.int64), 3.0).share == 0
