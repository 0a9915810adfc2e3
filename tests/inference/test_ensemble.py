"""How clips are put into batches for an answer."""

from hypothesis import given
from hypothesis import strategies as st

from serjax.data.batching.lengths import bucket
from serjax.inference.ensemble import BATCH, _batches


@given(st.lists(st.integers(400, 500_000), max_size=40))
def test_batches_hold_every_clip_once_and_are_padded_alike(lengths):
    batches = list(_batches(lengths))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) in (1, 2, 4, BATCH)
        assert len({bucket(lengths[index]) for index in batch}) == 1
