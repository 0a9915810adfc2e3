"""Mixtures of values by softmax of scores: equality with jax.nn, masks, dropout and bfloat16."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.models.layers import attention
from serjax.models.layers.attention import in_blocks, mix
from serjax.runtime.platform import compiling_for

KEY = jax.random.key(0)
mixture = jax.jit(mix, static_argnums=3)


def made(seed=0, b=2, h=3, q=4, k=5, e=6, scale=1.0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(scale * rng.normal(size=(b, h, q, k)), jnp.float32), jnp.asarray(
        rng.normal(size=(b, h, k, e)), jnp.float32
    )


@settings(max_examples=20)
@given(st.lists(st.booleans(), min_size=10, max_size=10), st.integers(0, 99), st.sampled_from([1.0, 30.0, 1000.0]))
def test_mix_equals_softmax_over_unmasked_values(mask, seed, scale):
    scores, values = made(seed, scale=scale)
    mask = np.reshape(mask, (2, 5))
    mixed, shares = mixture(scores, values, mask, 0.0, None)
    for row in range(2):
        if mask[row].any():
            expected = jax.nn.softmax(jnp.where(mask[row], scores[row], -jnp.inf), axis=-1)
        else:
            expected = jnp.full((3, 4, 5), 1 / 5)
        np.testing.assert_allclose(shares[row], expected, atol=1e-6)
        np.testing.assert_allclose(mixed[row], expected @ values[row], atol=1e-5)


def test_masked_values_change_nothing_and_get_no_gradient():
    scores, values = made()
    mask = jnp.arange(5) < jnp.array([[3], [5]])

    def total(values):
        return jnp.sin(mixture(scores, values, mask, 0.0, None)[0]).sum()

    assert total(values) == total(values.at[0, :, 3:].set(99.0))
    gradient = jax.grad(total)(values)
    assert not gradient[0, :, 3:].any()
    assert gradient[0, :, :3].all()


def test_gradients_are_finite_for_large_scores_and_empty_rows():
    scores, values = made(scale=1e4)
    mask = jnp.zeros((2, 5), bool).at[0].set(True)
    gradients = jax.grad(lambda s, v: mix(s, v, mask, 0.0, None)[0].sum(), (0, 1))(scores, values)
    assert all(jnp.isfinite(gradient).all() for gradient in gradients)


def test_dropout_of_shares_keeps_their_mean():
    scores, values = jnp.zeros((1, 1, 4000, 4)), jnp.ones((1, 1, 4, 1))
    mixed, shares = mix(scores, values, jnp.ones((1, 4), bool), 0.5, KEY)
    assert set(np.unique(np.round(shares, 4)).tolist()) == {0.0, 0.5}
    assert float(mixed.mean()) == pytest.approx(1, abs=0.05)


def test_mixtures_have_the_dtype_of_the_values():
    scores, values = made()
    mask = jnp.ones((2, 5), bool)
    mixed, shares = mix(scores, values.astype(jnp.bfloat16), mask, 0.0, None)
    assert (mixed.dtype, shares.dtype) == (jnp.bfloat16, jnp.float32)
    np.testing.assert_allclose(mixed.astype(jnp.float32), mix(scores, values, mask, 0.0, None)[0], atol=0.03)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 2e-2)])
def test_fused_attention_mixes_the_same(dtype, tolerance):
    """By XLA's own implementation, which is the definition that cuDNN's is held to: there is no GPU here."""
    rng = np.random.default_rng(0)
    query, keys, values = (jnp.asarray(rng.normal(size=(3, 2, 7, 8)), dtype) for _ in range(3))
    mask = jnp.arange(7) < jnp.array([7, 4, 1])[:, None]
    scores = jnp.einsum("bhqe,bhke->bhqk", query, keys, preferred_element_type=jnp.float32)
    expected, _ = attention.mix(scores, values, mask, 0.1, None)
    found = attention.fused(query, keys, values, mask, implementation="xla")
    np.testing.assert_allclose(found.astype(jnp.float32), expected.astype(jnp.float32), atol=tolerance)
    assert found.dtype == values.dtype


def test_fused_attention_of_a_row_without_frames_is_a_number():
    x = jnp.ones((1, 1, 3, 8))
    assert np.isfinite(attention.fused(x, x, x, jnp.zeros((1, 3), bool), implementation="xla")).all()


GPU = SimpleNamespace(
    platform="gpu", compute_capability="9.0", client=SimpleNamespace(platform_version="PJRT C API cuda 12090")
)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"compute_capability": "7.5"}, False),
        ({"client": SimpleNamespace(platform_version="rocm 60000")}, False),
        ({"platform": "cpu"}, False),
    ],
)
def test_devices_with_cudnn(changes, expected):
    assert attention.has_cudnn(SimpleNamespace(**{**vars(GPU), **changes})) == expected


@pytest.mark.parametrize(
    ("shape", "dtype", "rate", "key", "expected"),
    [
        ((1, 2, 3, 64), "bfloat16", 0.1, False, True),
        ((1, 2, 3, 64), "bfloat16", 0.0, True, True),
        ((1, 2, 3, 64), "bfloat16", 0.1, True, False),
        ((1, 2, 3, 64), "float32", 0.1, False, False),
        ((1, 2, 3, 60), "bfloat16", 0.1, False, False),
        ((1, 2, 3, 256), "bfloat16", 0.1, False, False),
    ],
    ids=["evaluation", "no dropout", "dropout", "float32", "odd width", "wide"],
)
def test_where_cudnn_serves(monkeypatch, shape, dtype, rate, key, expected):
    values, key = jnp.ones(shape, dtype), jax.random.key(0) if key else None
    assert not attention.cudnn_serves(values, rate, key)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "devices", lambda: [GPU])
    assert attention.cudnn_serves(values, rate, key) == expected
    with compiling_for("cpu"):
        assert not attention.cudnn_serves(values, rate, key)


@pytest.mark.parametrize("count", [7, 12])
def test_blocks_mix_as_the_whole_does(monkeypatch, count):
    monkeypatch.setattr(attention, "BLOCK", 4)
    rng = np.random.default_rng(0)
    query, keys, values = (jnp.asarray(rng.normal(size=(2, 3, count, 5)), jnp.float32) for _ in range(3))
    mask = jnp.arange(count) < jnp.array([[count], [count - 3]])
    gate = jnp.asarray(rng.normal(size=(2, 3, count, 1)), jnp.float32)
    table = jnp.asarray(rng.normal(size=(3, 2 * count - 1)), jnp.float32)
    apart = np.arange(count)[None] - np.arange(count)[:, None] + count - 1
    for parts in ((None, None), (gate, table)):
        scores = 30 * jnp.einsum("bhqe,bhke->bhqk", query, keys)
        scores += 0 if parts[0] is None else gate * table[:, apart]
        expected = mix(scores, values, mask, 0.0, None)[0]
        np.testing.assert_allclose(in_blocks(30 * query, keys, values, mask, *parts), expected, atol=1e-5)
