"""Channels as one: the mean, and the exceptions from it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serjax.audio.mixing import cancelled, mix, power


def noise(channels, samples=2_000, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, (samples, channels)).astype(np.float32)


@given(st.integers(1, 6), st.integers(0, 99))
def test_channels_of_like_loudness_are_averaged(channels, seed):
    samples = noise(channels, seed=seed)
    found = mix(samples)
    np.testing.assert_array_equal(found.wave, samples.mean(1) if channels > 1 else samples[:, 0])
    assert (found.silent, found.instead) == ((), None)


@pytest.mark.parametrize("gain", [0.0, 0.0009])
def test_a_silent_channel_is_left_out_of_the_mean(gain):
    samples = noise(3)
    samples[:, 1] *= gain
    found = mix(samples)
    np.testing.assert_array_equal(found.wave, samples[:, [0, 2]].mean(1))
    assert (found.silent, found.instead) == ((1,), None)


def test_a_quiet_channel_is_no_silent_one():
    samples = noise(2)
    samples[:, 1] *= 0.002
    assert mix(samples).silent == ()
    np.testing.assert_array_equal(mix(samples).wave, samples.mean(1))


@given(st.floats(0.85, 1.15), st.integers(0, 99))
def test_of_inverted_channels_the_louder_is_taken(gain, seed):
    wave = noise(1, seed=seed)[:, 0]
    samples = np.stack([wave, np.float32(-gain) * wave], 1)
    found = mix(samples)
    louder = int(np.argmax(power(samples)))
    assert found.instead == louder
    np.testing.assert_array_equal(found.wave, samples[:, louder])


@pytest.mark.parametrize("shape", [(100, 2), (0, 2), (0, 1)])
def test_silence_stays_silent(shape):
    found = mix(np.zeros(shape, np.float32))
    assert found.wave.shape == shape[:1]
    assert not found.wave.any()
    assert (found.silent, found.instead) == ((), None)


def test_cancelled_is_more_than_20_db_below_the_loudest():
    assert cancelled(0.0099, np.array([0.5, 1.0])) == 1
    assert cancelled(0.0101, np.array([0.5, 1.0])) is None
    assert cancelled(0.0, np.array([0.0, 0.0])) is None


def test_power_is_the_mean_square():
    np.testing.assert_allclose(power(np.array([[1, 2], [3, 0]], np.float32)), [5, 2])
