"""DC offset: it is measured, and a high-pass filter removes it and leaves speech alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serjax.audio.highpass import LARGE_OFFSET, dc_offset, highpass


def tone(hertz, seconds=2.0):
    return np.sin(2 * np.pi * hertz * np.arange(round(16_000 * seconds)) / 16_000).astype(np.float32)


@given(offset=st.floats(-0.9, 0.9), seed=st.integers(0, 99), length=st.integers(1, 5_000), cutoff=st.floats(5, 200))
def test_a_constant_offset_leaves_no_trace(offset, seed, length, cutoff):
    wave = np.random.default_rng(seed).normal(0, 0.1, length).astype(np.float32)
    shifted = (wave + np.float32(offset)).astype(np.float32)
    np.testing.assert_allclose(highpass(shifted, cutoff), highpass(wave, cutoff), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("hertz", "gain"), [(5, 1 / np.sqrt(1 + 4**4)), (20, np.sqrt(0.5)), (40, 4 / np.sqrt(17))])
def test_attenuation_is_that_of_a_butterworth_filter_of_second_order(hertz, gain):
    # |H| = 1 / sqrt(1 + (cutoff / f)^4); measured once the filter has settled.
    filtered = highpass(tone(hertz), 20)[16_000:]
    assert np.sqrt(2 * np.mean(np.square(filtered))) == pytest.approx(gain, rel=0.01)


def test_speech_frequencies_pass():
    np.testing.assert_allclose(np.std(highpass(tone(200), 20)[8_000:]), np.std(tone(200)), rtol=1e-3)


def test_without_a_cutoff_or_samples_nothing_changes():
    wave = tone(100)
    assert highpass(wave, None) is wave
    assert len(highpass(wave[:0], 20)) == 0
    assert highpass(wave, 20).dtype == np.float32


def test_offset_is_a_share_of_the_rms():
    wave = tone(100) / np.sqrt(np.mean(np.square(tone(100))))
    assert dc_offset(wave) == pytest.approx(0, abs=1e-4)
    assert dc_offset(wave - 1) == pytest.approx(np.sqrt(0.5), abs=1e-3)
    assert dc_offset(np.full(10, 0.3, np.float32)) == pytest.approx(1)
    assert dc_offset(np.zeros(10, np.float32)) == dc_offset(np.zeros(0, np.float32)) == 0
    # The threshold holds 4 % of the power.
    assert dc_offset(wave + np.float32(np.sqrt(0.04 / 0.96))) == pytest.approx(LARGE_OFFSET, abs=1e-3)
