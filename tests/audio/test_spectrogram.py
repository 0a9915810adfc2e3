"""Spectrograms: parity with librosa, and with torchaudio's definitions written down in numpy."""

from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.audio import SAMPLE_RATE
from serjax.audio.decode import decode
from serjax.audio.spectrogram import (
    EFFICIENTNET,
    RAVDESS_AUDIO,
    Spectrogram,
    decibels,
    frame_count,
    log_mel,
    mel_filters,
    mfcc,
    natural_log,
    spectrogram,
    stft,
)
from serjax.runtime.errors import UserError

REAL = Path(__file__).parents[2] / "../shared/data/ravdess/Actor_01/03-01-05-01-01-01-01.flac"
HAND_MADE = Spectrogram(2048, 2048, 512, 128, "constant", scale="slaney", mel_norm="slaney", amplitude="power")
"""librosa's defaults, which the 312 hand-made values are computed with."""
SETTINGS = pytest.mark.parametrize(
    "config", [EFFICIENTNET, HAND_MADE, RAVDESS_AUDIO], ids=["efficientnet", "hand-made", "ravdess"]
)


@cache
def waves(samples=8_001):
    """Return a clip of noise that fades and one of harmonics, in less noise, that is silent in the end."""
    time = np.arange(samples) / SAMPLE_RATE
    noise = np.random.default_rng(0).normal(0, 0.1, samples)
    tones = sum(np.sin(2 * np.pi * 173.0 * k * time) / (4 * k) for k in range(1, 20))
    # Without noise, the bands above the harmonics would hold nothing but float32's rounding.
    return np.stack([noise * np.exp(-4 * time), (tones + 0.01 * noise) * (time < 0.3)]).astype(np.float32)


@cache
def recording():
    if not REAL.exists():
        pytest.skip("needs RAVDESS in ../shared/data")
    return decode(REAL)[None, :32_001]


def assert_close(got, want):
    """Compare to 1e-4 of the range of what is wanted."""
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-4 * np.ptp(np.abs(want) if np.iscomplexobj(want) else want))


def librosa_mel(librosa, wave, config):
    mel = librosa.feature.melspectrogram(
        y=wave,
        sr=SAMPLE_RATE,
        n_fft=config.n_fft,
        win_length=config.win_length,
        hop_length=config.hop,
        center=config.pad_mode is not None,
        pad_mode=config.pad_mode or "constant",
        power=config.power,
        n_mels=config.mels,
        fmin=config.f_min,
        fmax=config.f_max,
        htk=config.scale == "htk",
        norm=config.mel_norm,
    )
    return mel[..., : config.frames]


@pytest.fixture(scope="module")
def librosa():
    return pytest.importorskip("librosa")


@SETTINGS
@pytest.mark.parametrize("samples", [8_001, 8_000])
@pytest.mark.parametrize("pad_mode", ["reflect", "constant", None])
def test_stft_is_librosas(librosa, config, samples, pad_mode):
    wave = waves(samples)
    shape = {"n_fft": config.n_fft, "win_length": config.win_length}
    center = {"center": False} if pad_mode is None else {"pad_mode": pad_mode}
    want = librosa.stft(wave, hop_length=config.hop, **shape, **center)
    assert_close(stft(wave, hop=config.hop, pad_mode=pad_mode, **shape), want)
    for power in (1, 2):
        assert_close(spectrogram(wave, hop=config.hop, pad_mode=pad_mode, power=power, **shape), np.abs(want) ** power)


@pytest.mark.filterwarnings("ignore:Empty filters")
@pytest.mark.parametrize("scale", ["htk", "slaney"])
@pytest.mark.parametrize("norm", [None, "slaney"])
@pytest.mark.parametrize("shape", [(400, 64, 0, 8000), (1024, 128, 0, 8000), (2048, 40, 70, 5500), (401, 23, 20, 7600)])
def test_filters_are_librosas(librosa, scale, norm, shape):
    n_fft, mels, f_min, f_max = shape
    want = librosa.filters.mel(
        sr=SAMPLE_RATE, n_fft=n_fft, n_mels=mels, fmin=f_min, fmax=f_max, htk=scale == "htk", norm=norm
    )
    got = mel_filters(n_fft, mels, f_min, f_max, scale, norm)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-6 * want.max())


@SETTINGS
@pytest.mark.parametrize("source", [waves, recording])
@pytest.mark.parametrize("power", [1, 2])
def test_mel_spectrograms_are_librosas(librosa, config, source, power):
    wave, config = source(), replace(config, power=power)
    want = librosa_mel(librosa, wave, config)
    for amplitude, expected in [
        ("power", want),
        ("log", np.log(np.maximum(want, 1e-10))),
        ("db", librosa.power_to_db(want, top_db=None)),
    ]:
        got = jax.jit(partial(log_mel, config=replace(config, amplitude=amplitude)))(wave)
        assert_close(got, expected)


@pytest.mark.parametrize("top_db", [None, 80.0, 20.0])
def test_decibels_are_librosas_clip_by_clip(librosa, top_db):
    power = np.random.default_rng(0).uniform(-14, 3, (3, 5, 7)).astype(np.float32)
    power = 10 ** (power - np.array([0, 4, 12], np.float32)[:, None, None])
    power[0, 0] = 0
    want = np.stack([librosa.power_to_db(clip, top_db=top_db) for clip in power])
    np.testing.assert_allclose(decibels(power, top_db), want, rtol=0, atol=1e-4)


@pytest.mark.parametrize("count", [13, 50])
@pytest.mark.parametrize("source", [waves, recording])
def test_mfcc_are_librosas(librosa, count, source):
    wave = source()[:1]
    want = librosa.feature.mfcc(y=wave, sr=SAMPLE_RATE, n_mfcc=count)
    assert_close(mfcc(log_mel(wave, replace(HAND_MADE, amplitude="db", top_db=80.0)), count), want)


def torchaudio_mel(wave):
    """MelSpectrogram(16000, n_fft=400, hop_length=160, n_mels=64), AmplitudeToDB(), in float64 frame by frame."""
    window = 0.5 * (1 - np.cos(2 * np.pi * np.arange(400) / 400))
    padded = np.pad(wave.astype(np.float64), 200, mode="reflect")
    frames = [padded[i : i + 400] * window for i in range(0, len(padded) - 399, 160)]
    power = np.abs(np.fft.fft(frames, axis=1)[:, :201]) ** 2
    points = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 66) / 2595) - 1)
    bank = np.zeros((201, 64))
    for m, (left, middle, right) in enumerate(zip(points, points[1:], points[2:], strict=False)):
        bank[:, m] = np.interp(np.linspace(0, 8000, 201), [left, middle, right], [0, 1, 0])
    return 10 * np.log10(np.maximum(power @ bank, 1e-10)).T


@pytest.mark.parametrize("source", [waves, recording])
def test_ravdess_audio_is_torchaudios(source):
    assert_close(np.asarray(log_mel(source(), RAVDESS_AUDIO)), np.stack([torchaudio_mel(wave) for wave in source()]))


@pytest.mark.parametrize(("config", "shape"), [(EFFICIENTNET, (1, 128, 300)), (RAVDESS_AUDIO, (1, 64, 301))])
def test_shapes_for_3_s(config, shape):
    assert jax.eval_shape(partial(log_mel, config=config), np.zeros((1, 48_000), np.float32)).shape == shape


@pytest.mark.parametrize("config", [EFFICIENTNET, RAVDESS_AUDIO])
def test_no_filter_is_empty(config):
    assert mel_filters(config.n_fft, config.mels, scale=config.scale).max(axis=1).min() > 0


@settings(max_examples=40)
@given(
    samples=st.integers(1, 3_000),
    n_fft=st.integers(1, 600),
    hop=st.integers(1, 700),
    pad_mode=st.sampled_from(["reflect", "constant", None]),
)
def test_frame_count(samples, n_fft, hop, pad_mode):
    wave = np.zeros((1, samples), np.float32)
    around = 0 if pad_mode is None else n_fft // 2
    if samples < {"reflect": around + 1, "constant": 1, None: n_fft}[pad_mode]:
        with pytest.raises(UserError, match=f"have {samples} samples"):
            stft(wave, n_fft, hop, pad_mode=pad_mode)
        return
    starts = range(0, samples + 2 * around - n_fft + 1, hop)
    assert frame_count(samples, n_fft, hop, pad_mode) == len(starts)
    shape = jax.eval_shape(lambda x: stft(x, n_fft, hop, pad_mode=pad_mode), wave).shape
    assert shape == (1, n_fft // 2 + 1, len(starts))


def test_silence_is_finite():
    silence = np.zeros((1, 1_000), np.float32)
    assert np.all(log_mel(silence, RAVDESS_AUDIO) == -100)
    np.testing.assert_allclose(log_mel(silence, EFFICIENTNET), np.log(1e-10), rtol=1e-6)
    np.testing.assert_allclose(natural_log(silence[None], floor=1e-3), np.log(1e-3), rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"win_length": 401}, "win_length .* 401; .* n_fft \\(400\\)"),
        ({"win_length": 0}, "win_length .* 0"),
        ({"hop": 0}, "hop .* 0"),
        ({"mels": 0}, "mels .* 0"),
        ({"f_max": 8001.0}, "f_max 8001 Hz"),
        ({"f_min": 500.0, "f_max": 500.0}, "f_min is 500 Hz"),
        ({"f_min": -1.0}, "f_min is -1 Hz"),
    ],
)
def test_what_no_spectrogram_can_have(change, message):
    with pytest.raises(UserError, match=message):
        replace(RAVDESS_AUDIO, **change)


def test_functions_say_what_does_not_fit():
    wave = np.zeros((1, 1_000), np.float32)
    with pytest.raises(UserError, match="win_length"):
        stft(wave, 400, 160, win_length=500)
    with pytest.raises(UserError, match="f_max"):
        mel_filters(400, 64, f_max=9_000)
    for count in (0, 65):
        with pytest.raises(UserError, match=f"{count} MFCC are asked of 64"):
            mfcc(np.zeros((1, 64, 3), np.float32), count)
