"""The synthetic voice: what is asked for can be measured in the sound."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.data.corpora.synthetic import voice as module
from serjax.data.corpora.synthetic.voice import HISSES, VOWELS, Manner, Syllable, Voice, speak

VOICE = Voice(pitch=150.0, size=1.0, brightness=0.0, tempo=5.0)
PLAIN = Manner(pitch=0.0, movement=0.0, slope=0.0, tempo=1.0, level=0.0, brightness=0.0, breath=0.0)
VOWEL_A = [Syllable(consonant=None, vowel=2, stressed=True)] * 7
syllables = st.builds(
    Syllable,
    consonant=st.none() | st.integers(0, len(HISSES) - 1),
    vowel=st.integers(0, len(VOWELS) - 1),
    stressed=st.booleans(),
)


def say(text=VOWEL_A, voice=VOICE, seed=0, **manner):
    return speak(text, voice, replace(PLAIN, **manner), np.random.default_rng(seed))


def pitch_of(samples):
    """Return the pitch in Hz by autocorrelation."""
    power = np.abs(np.fft.rfft(samples, 2 * len(samples))) ** 2
    return 16_000 / (np.fft.irfft(power)[50:320].argmax() + 50)


def level_of(samples, low=0.0, high=8_000.0):
    """Return the power between two frequencies in dB."""
    power = np.abs(np.fft.rfft(samples)) ** 2
    frequency = np.fft.rfftfreq(len(samples), 1 / 16_000)
    return 10 * np.log10(power[(low <= frequency) & (frequency < high)].sum())


@settings(max_examples=30)
@given(
    text=st.lists(syllables, min_size=4, max_size=9),
    pitch=st.floats(70, 300),
    tempo=st.floats(0.6, 1.5),
    level=st.floats(-12, 15),
    seed=st.integers(0, 2**32),
)
def test_any_text_is_sound_of_one_to_two_seconds(text, pitch, tempo, level, seed):
    manner = replace(PLAIN, tempo=tempo, level=level, movement=1.0, breath=1.0)
    voice = replace(VOICE, pitch=pitch)
    samples = speak(text, voice, manner, np.random.default_rng(seed))
    assert samples.dtype == np.float32
    assert 1.0 <= len(samples) / 16_000 <= 2.2
    assert np.isfinite(samples).all()
    assert 0.001 < np.abs(samples).max() <= 1.0
    np.testing.assert_array_equal(samples, speak(text, voice, manner, np.random.default_rng(seed)))


@pytest.mark.parametrize("semitones", [-3.0, 0.0, 5.0])
def test_pitch(semitones):
    assert pitch_of(say(pitch=semitones)) == pytest.approx(150.0 * 2 ** (semitones / 12), rel=0.02)


def test_slope_moves_pitch_up():
    falling, rising = say(slope=-6.0), say(slope=6.0)
    third = len(rising) // 3
    assert pitch_of(rising[:third]) < 145 < 155 < pitch_of(rising[-third:])
    assert pitch_of(falling[:third]) > 155 > 145 > pitch_of(falling[-third:])


def test_level_tempo_brightness_and_breath():
    plain = say()
    assert level_of(say(level=-6.0)) - level_of(plain) == pytest.approx(-6.0, abs=0.1)
    assert len(say(tempo=0.85)) > 1.1 * len(plain)

    def brightness(samples):
        return level_of(samples, 2_000, 4_000) - level_of(samples, 0, 1_000)

    assert brightness(say(brightness=3.0)) - brightness(plain) > 4.0
    assert level_of(say(breath=6.0), 4_500, 6_000) > level_of(plain, 4_500, 6_000) + 6.0


@pytest.mark.parametrize("size", [0.9, 1.0, 1.2])
@pytest.mark.parametrize("vowel", range(len(VOWELS)))
def test_formants_stand_out(vowel, size):
    formants = size * VOWELS[[vowel]]
    response = np.abs(module._tract(formants, 6.0)[0])
    for formant in formants[0, :2]:
        nearby = np.abs(module._FREQUENCIES / formant - 1) < 0.15
        peak = module._FREQUENCIES[nearby][response[nearby].argmax()]
        assert peak == pytest.approx(formant, rel=0.08)


def test_windows_add_up_to_the_sound():
    samples = np.random.default_rng(0).standard_normal(12_345)
    again = module._overlap_add(module._spectra(samples), len(samples))
    assert len(again) == len(samples)
    inside = slice(512, -512)  # clips begin and end silently, so the half windows at the ends do not matter
    np.testing.assert_allclose(again[inside], samples[inside], atol=1e-5)


def test_the_saw_tooth_falls_by_6_db_an_octave_without_aliases():
    wave = module._saw_tooth(np.full(16_000, 200.0))
    power = np.abs(np.fft.rfft(wave)) ** 2
    harmonics = power[200:4_000:200]
    np.testing.assert_allclose(10 * np.log10(harmonics[1] / harmonics[3]), 6.0, atol=0.5)
    assert power.sum() - power[200::200].sum() < 1e-6 * power.sum()


def test_hissing_consonants_are_heard():
    hissing = say([Syllable(consonant=0, vowel=4, stressed=True)] * 7)
    voiced = say([Syllable(consonant=None, vowel=4, stressed=True)] * 7)
    assert level_of(hissing, 4_500, 6_500) > level_of(voiced, 4_500, 6_500) + 10
