"""Codecs: samples keep their place in time, their number and their level, and lose what a codec takes away."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import butter as butterworth
from scipy.signal import correlate, sosfilt

pytest.importorskip("av")

from serjax.audio import codec as module
from serjax.audio.codec import coded
from serjax.audio.config import Codec
from serjax.runtime.errors import UserError

CODECS = get_args(Codec)


def speechlike(seconds=1.5, seed=0):
    """Noise of the long-term spectrum of speech, falling from 500 Hz on, in syllables."""
    count = round(16_000 * seconds)
    noise = np.random.default_rng(seed).normal(size=count)
    shaped = sosfilt(butterworth(1, [100, 800], "bandpass", fs=16_000, output="sos"), noise)
    syllables = np.abs(np.sin(np.pi * 4 * np.arange(count) / 16_000))
    return (0.1 * shaped * syllables / shaped.std()).astype(np.float32)


def decibels(a, b):
    return 10 * np.log10(np.mean(np.square(a)) / np.mean(np.square(b)))


def band(wave, low, high):
    spectrum, hertz = np.abs(np.fft.rfft(wave)) ** 2, np.fft.rfftfreq(len(wave), 1 / 16_000)
    return spectrum[(hertz >= low) & (hertz < high)].sum()


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("seconds", [0.3, 1.5, 3.21])
def test_length_level_and_place_in_time_are_kept(codec, seconds):
    wave = speechlike(seconds)
    found = coded(wave, codec)
    assert found.dtype == np.float32
    assert len(found) == len(wave)
    assert abs(decibels(found, wave)) < 1
    lag = np.argmax(correlate(found, wave, "full")) - (len(wave) - 1)
    assert lag == 0
    # Something was lost, and not much.
    assert 0.7 < np.corrcoef(found, wave)[0, 1] < 0.9999


@pytest.mark.parametrize("codec", CODECS)
def test_a_codec_gives_the_same_samples_each_time(codec):
    np.testing.assert_array_equal(coded(speechlike(), codec), coded(speechlike(), codec))


@pytest.mark.parametrize("codec", ["mp3", "opus"])
def test_level_is_the_codecs_own_before_it_is_restored(codec):
    wave = speechlike()
    received, rate = module._decode(module._encode(wave, module._CODINGS[codec]))
    assert abs(decibels(received, wave)) < 1
    assert len(received) / rate == pytest.approx(len(wave) / 16_000, abs=0.1)


def test_a_telephone_passes_its_band_alone():
    noise = (0.1 * np.random.default_rng(0).normal(size=32_000)).astype(np.float32)
    found = coded(noise, "telephone")
    inside = band(found, 400, 3200) / band(noise, 400, 3200)
    for low, high in ((20, 150), (4300, 7900)):
        assert 10 * np.log10(band(found, low, high) / band(noise, low, high) / inside) < -20


def test_mp3_and_opus_keep_what_lies_above_a_telephones_band():
    noise = (0.1 * np.random.default_rng(0).normal(size=32_000)).astype(np.float32)
    for codec in ("mp3", "opus"):
        assert band(coded(noise, codec), 3600, 5000) > 0.1 * band(noise, 3600, 5000)


@settings(max_examples=15)
@given(st.sampled_from(CODECS), st.integers(0, 500), st.floats(-60, 0))
def test_clips_of_any_length_and_level_come_back_finite(codec, length, level):
    noise = np.random.default_rng(length).normal(size=length)
    wave = np.clip(10 ** (level / 20) * noise, -1, 1).astype(np.float32)
    found = coded(wave, codec)
    assert found.shape == wave.shape
    assert np.isfinite(found).all()


@pytest.mark.parametrize("codec", CODECS)
def test_silence_stays_silence(codec):
    assert not coded(np.zeros(4_000, np.float32), codec).any()


def test_an_encoder_that_ffmpeg_lacks_is_named(monkeypatch):
    monkeypatch.setitem(module._CODINGS, "mp3", module._CODINGS["mp3"]._replace(encoder="none_such"))
    with pytest.raises(UserError, match=r"has no encoder none_such; install a PyAV"):
        coded(speechlike(0.3), "mp3")
