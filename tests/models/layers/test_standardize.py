"""Zero mean and unit variance: of features by a fold's statistics, and of each clip's samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.models.layers.standardize import Standardizer, clip_norm, unit_variance

normalized = jax.jit(unit_variance)


def test_standardizer_starts_as_identity():
    x = jnp.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(Standardizer(3)(x), x)


def test_standardizer_subtracts_the_mean_and_divides_by_the_deviation():
    layer = Standardizer(3)
    layer.mean.set_value(jnp.array([1.0, 2.0, 3.0]))
    layer.deviation.set_value(jnp.array([2.0, 0.5, 0.0]))
    x = jnp.array([[3.0, 2.5, 3.0], [1.0, 1.0, 3.0]])
    np.testing.assert_allclose(layer(x), [[1, 1, 0], [0, -2, 0]])
    assert jnp.isfinite(layer(x + 1)).all()  # a constant feature has no deviation
    assert layer(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16


def test_standardizer_has_statistics_without_gradients():
    layer = Standardizer(2)
    assert jax.tree.leaves(nnx.state(layer, nnx.Param)) == []
    graphdef, state = nnx.split(layer)
    gradient = jax.grad(lambda state: nnx.merge(graphdef, state)(jnp.ones((4, 2))).sum())(state)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradient))


@settings(max_examples=20)
@given(st.lists(st.integers(2, 40), min_size=3, max_size=3), st.floats(0.01, 100), st.floats(-5, 5))
def test_unit_variance_equals_numpy_over_true_samples(lengths, scale, offset):
    rng = np.random.default_rng(0)
    wave = (scale * rng.normal(size=(3, 40)) + offset).astype(np.float32)
    found = normalized(wave, np.array(lengths))
    for row, samples, count in zip(np.asarray(found), wave.astype(np.float64), lengths, strict=True):
        own = samples[:count]
        np.testing.assert_allclose(row[:count], (own - own.mean()) / np.sqrt(own.var() + 1e-7), rtol=2e-3, atol=2e-3)
        assert not row[count:].any()


@pytest.mark.parametrize("length", [0, 1, 40])
def test_unit_variance_of_silent_and_empty_clips_is_zero(length):
    np.testing.assert_array_equal(normalized(np.zeros((1, 40), np.float32), np.array([length])), np.zeros((1, 40)))


def test_unit_variance_keeps_bfloat16_and_computes_in_float32():
    wave = (100 + np.random.default_rng(0).normal(size=(1, 4000))).astype(np.float32)
    half = jnp.asarray(wave, jnp.bfloat16)
    found = normalized(half, np.array([4000]))
    assert found.dtype == jnp.bfloat16
    exact = np.asarray(half, np.float64)
    np.testing.assert_allclose(
        np.asarray(found, np.float64), (exact - exact.mean()) / exact.std(), rtol=0.01, atol=0.01
    )


@pytest.mark.torch
def test_unit_variance_equals_the_feature_extractor_of_transformers():
    transformers = pytest.importorskip("transformers")
    waves = [np.random.default_rng(seed).normal(0.2, 0.3, 400 * seed).astype(np.float32) for seed in (1, 2)]
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)
    expected = extractor(waves, sampling_rate=16_000, padding=True, return_tensors="np")["input_values"]
    padded = np.stack([np.pad(wave, (0, 800 - len(wave))) for wave in waves])
    np.testing.assert_allclose(normalized(padded, np.array([400, 800])), expected, atol=1e-5)


@settings(max_examples=20)
@given(st.lists(st.integers(1, 5), min_size=2, max_size=2), st.floats(0.01, 100), st.floats(-5, 5))
def test_clip_norm_is_a_layer_norm_over_the_true_frames_of_each_clip_and_layer(frames, scale, offset):
    states = np.random.default_rng(0).normal(offset, scale, (2, 3, 5, 4)).astype(np.float32)
    found = np.asarray(clip_norm(jnp.asarray(states), jnp.array(frames)))
    for clip, count in enumerate(frames):
        for layer in range(3):
            x = states[clip, layer, :count].astype(float)
            expected = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
            np.testing.assert_allclose(found[clip, layer, :count], expected, atol=2e-3)
        assert not found[clip, :, count:].any()
