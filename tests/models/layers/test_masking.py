import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.models.layers.masking import length_mask, span_count, span_mask


def reference_count(length, size, probability, span, minimum, uniform):
    """transformers' compute_num_masked_span, restated."""
    count = max(int(probability * length / span + uniform), minimum)
    count = min(count, size // span)
    return max(min(count, length - (span - 1)), 0)


@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(0, 60), min_size=4, max_size=4),
    spare=st.integers(0, 20),
    probability=st.floats(0, 1, width=16),
    span=st.integers(1, 12),
    minimum=st.integers(0, 4),
    uniform=st.floats(0, 1, exclude_max=True, width=16),
)
def test_counts_follow_transformers_rule(lengths, spare, probability, span, minimum, uniform):
    size = max(lengths) + spare
    got = span_count(jnp.array(lengths), size, probability, span, minimum, uniform)
    assert got.tolist() == [reference_count(n, size, probability, span, minimum, uniform) for n in lengths]


@settings(max_examples=25)
@given(
    seed=st.integers(0, 1000),
    lengths=st.lists(st.integers(0, 40), min_size=3, max_size=3),
    probability=st.floats(0, 1, width=16),
    span=st.integers(1, 8),
    minimum=st.integers(0, 3),
)
def test_spans_stay_within_clips_and_are_whole(seed, lengths, probability, span, minimum):
    size = 48
    mask = np.asarray(span_mask(jax.random.key(seed), jnp.array(lengths), size, probability, span, minimum))
    assert not mask[~np.asarray(length_mask(jnp.array(lengths), size))].any()
    for row, length in zip(mask, lengths, strict=True):
        edges = np.flatnonzero(np.diff(np.pad(row.astype(int), 1)))
        runs = edges[1::2] - edges[::2]
        assert (runs >= span).all()
        low = reference_count(length, size, probability, span, minimum, 0.0)
        high = reference_count(length, size, probability, span, minimum, 0.999999)
        # `count` distinct starts cover at least span + count - 1 positions and at most span * count.
        assert row.sum() <= high * span
        assert row.sum() >= (span + low - 1 if low else 0)


def test_same_key_same_mask_and_another_key_another():
    draw = jax.jit(lambda key: span_mask(key, jnp.array([90, 50]), 100, 0.3, 5, 1))
    first, again, other = draw(jax.random.key(0)), draw(jax.random.key(0)), draw(jax.random.key(1))
    assert (first == again).all()
    assert (first != other).any()


def test_a_row_s_starts_are_uniform():
    keys = jax.random.split(jax.random.key(0), 4000)
    masks = jax.vmap(lambda key: span_mask(key, jnp.array([12]), 16, 0.0, 1, 3)[0])(keys)
    assert (masks.sum(1) == 3).all()
    np.testing.assert_allclose(masks[:, :12].mean(0), 3 / 12, atol=0.03)


@pytest.mark.parametrize("uniform", [0.0, 0.5])
def test_rounding_is_shared_by_the_batch(uniform):
    # 0.2 * 12 / 4 = 0.6 spans: one with uniform >= 0.4, else none.
    assert span_count(jnp.array([12, 12]), 12, 0.2, 4, 0, uniform).tolist() == [int(uniform >= 0.4)] * 2
