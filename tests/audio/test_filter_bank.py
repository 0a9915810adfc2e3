"""Kaldi's filter bank to the last digit of a computation in double precision, whatever else a clip holds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hard_waves import hard_waves

from serjax.audio.filter_bank import FLOOR, HOP, WIDTH, filter_bank, kaldi_filters

bank = jax.jit(filter_bank, static_argnums=1)


def in_double_precision(wave, mels):
    """Return the definition, frame by frame."""
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399)) ** 0.85
    found = []
    for start in range(0, len(wave) - 399, 160):
        frame = wave[start : start + 400].astype(np.float64) * 32768
        frame -= frame.mean()
        frame = np.append(frame[0] * (1 - 0.97), frame[1:] - 0.97 * frame[:-1]) * window
        found.append(np.abs(np.fft.rfft(frame, 512)) ** 2 @ kaldi_filters(mels).T.astype(np.float64))
    return np.log(np.maximum(found, 2**-23))


@pytest.mark.parametrize("name", hard_waves(400))
def test_it_is_exact_beside_hum_rumble_and_dc(name):
    wave = hard_waves(16_000)[name]
    np.testing.assert_allclose(bank(wave[None], 80)[0], in_double_precision(wave, 80), rtol=0, atol=5e-5)


def test_frames_lie_within_the_clip():
    wave = np.random.default_rng(0).normal(0, 0.1, (2, 8000)).astype(np.float32)
    whole = bank(wave, 23)
    assert whole.shape == (2, 1 + (8000 - WIDTH) // HOP, 23)
    np.testing.assert_allclose(bank(wave[:, 320:1039], 23), whole[:, 2:4], atol=1e-5)
    np.testing.assert_allclose(bank(np.zeros((1, WIDTH), np.float32), 23), np.log(FLOOR), atol=1e-6)


def test_filters_reach_from_20_hz_to_8_khz_and_overlap():
    filters = kaldi_filters(80)
    hertz = np.arange(257) * 31.25
    assert not filters[:, hertz < 20].any()
    assert (np.diff(filters.argmax(1)) >= 0).all()
    # Between the first peak and the last, neighbours share each bin.
    np.testing.assert_allclose(filters.sum(0)[3:245], 1, atol=1e-6)


def test_samples_of_16_bits_are_taken_too():
    wave = jnp.asarray(np.random.default_rng(0).normal(0, 0.1, (1, 1000)), jnp.bfloat16)
    np.testing.assert_array_equal(bank(wave, 80), bank(wave.astype(jnp.float32), 80))


@pytest.mark.torch
def test_it_is_that_of_transformers():
    from transformers import SeamlessM4TFeatureExtractor

    for name, wave in hard_waves(8000).items():
        expected = SeamlessM4TFeatureExtractor()._extract_fbank_features(wave)
        np.testing.assert_allclose(bank(wave[None], 80)[0], expected, rtol=0, atol=1e-4, err_msg=name)
