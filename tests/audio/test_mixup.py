"""Mixup: pairs, weights, and mixed waves and targets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from serjax.audio.mixup import Pairs, draw_pairs, mix

KEY = jax.random.key(0)
COLUMNS = 1_000
LENGTHS = np.array([1_000, 601, 350, 999])


def clips(lengths=LENGTHS, columns=COLUMNS, seed=0):
    wave = np.random.default_rng(seed).normal(0, 0.1, (len(lengths), columns)).astype(np.float32)
    return np.where(np.arange(columns) < np.asarray(lengths)[:, None], wave, 0)


def behind(wave, lengths):
    return wave[np.arange(wave.shape[1]) >= np.asarray(lengths)[:, None]]


def test_mix_is_the_weighted_sum_with_the_partner():
    lengths = np.arange(1, 201)
    wave = clips(lengths, 200)
    pairs = draw_pairs(KEY, 200, 0.4)
    weight, partner = map(np.asarray, pairs)
    mixed = np.asarray(mix(jnp.asarray(wave), pairs))
    want = weight[:, None] * wave + (1 - weight[:, None]) * wave[partner]
    np.testing.assert_allclose(mixed, want, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(np.sort(partner), np.arange(200))
    longer = np.asarray(pairs.longer(jnp.asarray(lengths)))
    np.testing.assert_array_equal(longer, np.maximum(lengths, lengths[partner]))
    assert np.all(behind(mixed, longer) == 0)
    # Beta(a, a) has the mean 1/2 and the variance 1 / (8 a + 4).
    assert weight.mean() == pytest.approx(0.5, abs=0.08)
    assert weight.var() == pytest.approx(1 / (8 * 0.4 + 4), abs=0.03)


@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 3, 2)])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_mix_keeps_shape_and_dtype_of_waves_features_and_targets(shape, dtype):
    x = jnp.asarray(np.random.default_rng(0).normal(size=shape), dtype)
    mixed = mix(x, Pairs(jnp.linspace(0, 1, 5), jnp.arange(5)[::-1]))
    assert (mixed.shape, mixed.dtype) == (shape, dtype)


def test_mixed_targets_stay_distributions():
    targets = mix(jax.nn.one_hot(jnp.arange(200) % 3, 3), draw_pairs(KEY, 200))
    np.testing.assert_allclose(targets.sum(1), 1, rtol=1e-6)
    assert (targets >= 0).all()


def test_pairs_follow_their_key():
    same, again, other = (draw_pairs(key, 200) for key in (KEY, KEY, jax.random.key(1)))
    np.testing.assert_array_equal(same.weight, again.weight)
    np.testing.assert_array_equal(same.partner, again.partner)
    assert np.any(same.weight != other.weight)
    assert np.any(same.partner != other.partner)
