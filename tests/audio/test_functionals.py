"""The 312 values: each component is librosa's, the whole is what mser's loop computes, and rows do not mix."""

import warnings
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.audio import functionals as f
from serjax.audio.decode import decode
from serjax.runtime.errors import UserError

SHARED = Path(__file__).parents[2] / "../shared/data"
SAMPLES = 48_000
RECORDINGS = (
    "ravdess/Actor_01/03-01-05-02-01-01-01.flac",
    "ravdess/Actor_24/03-01-04-01-02-02-24.flac",
    "emodb4/train/anger/03a01Wa.flac",
    "emodb4/train/sad/08a05Ta.flac",
)
CLIPS = ("tones", "noise", "chirp", *RECORDINGS)
MODES = ("frame", "original")


@pytest.fixture(scope="module")
def librosa():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("librosa", reason="librosa, the witness, is not installed")


@cache
def load(name):
    """Return 3 s at 16 kHz; what ends early begins again."""
    time = np.arange(SAMPLES) / 16_000
    rng = np.random.default_rng(0)
    if name == "tones":
        wave = sum(0.1 * np.sin(2 * np.pi * 207 * k * time) * np.exp(-time / k) for k in range(1, 6))
        wave += 1e-3 * rng.standard_normal(SAMPLES)
    elif name == "noise":
        wave = 0.1 * rng.standard_normal(SAMPLES) * (time > 0.7)
    elif name == "chirp":
        wave = 0.5 * np.sin(2 * np.pi * (80 + 600 * time) * time) + 1e-4 * rng.standard_normal(SAMPLES)
    else:
        if not (SHARED / name).is_file():
            pytest.skip("the recordings in ../shared/data are not here")
        wave = np.resize(decode(SHARED / name), SAMPLES)
    return wave.astype(np.float32)


def piptrack(librosa, magnitude, low, high):
    """Return librosa's peaks in the bins from `low` to below `high` Hz; it returns zeros in the others."""
    tracks = librosa.piptrack(S=magnitude, sr=16_000, fmin=low, fmax=high)
    bins = librosa.fft_frequencies(sr=16_000, n_fft=2048)
    return [track[(bins >= low) & (bins < high)] for track in tracks]


# What ours are called with, and what librosa makes of the clip y, whose magnitudes are S.
COMPONENTS = {
    "spectrum": (lambda y, S: f.spectrum(y), lambda L, y, S: S),
    "flatness": (lambda y, S: f.flatness(S), lambda L, y, S: L.feature.spectral_flatness(y=y)[0]),
    "zero_crossing_rate": (lambda y, S: f.zero_crossing_rate(y), lambda L, y, S: L.feature.zero_crossing_rate(y)[0]),
    "centroid": (lambda y, S: f.centroid(S), lambda L, y, S: L.feature.spectral_centroid(y=y, sr=16_000)[0]),
    "rms": (lambda y, S: f.rms(S), lambda L, y, S: L.feature.rms(S=S)[0]),
    "pitches": (lambda y, S: f.pitch_track(S)[0], lambda L, y, S: piptrack(L, S, 70, 400)[0]),
    "strengths": (lambda y, S: f.pitch_track(S)[1], lambda L, y, S: piptrack(L, S, 70, 400)[1]),
    "wide pitches": (lambda y, S: f.pitch_track(S, 150, 4000)[0], lambda L, y, S: piptrack(L, S, 150, 4000)[0]),
    "mel": (lambda y, S: f.mel(S), lambda L, y, S: L.feature.melspectrogram(y=y, sr=16_000)),
    "mfcc": (lambda y, S: f.mfcc(f.mel(S)), lambda L, y, S: L.feature.mfcc(y=y, sr=16_000, n_mfcc=50)),
    "chroma": (lambda y, S: f.chroma(S), lambda L, y, S: L.feature.chroma_stft(S=S, sr=16_000)),
    "tuned chroma": (
        lambda y, S: f.chroma(S, jnp.array([-0.37])),
        lambda L, y, S: L.feature.chroma_stft(S=S, sr=16_000, tuning=-0.37),
    ),
    "contrast": (lambda y, S: f.contrast(S), lambda L, y, S: L.feature.spectral_contrast(S=S, sr=16_000)),
}


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_is_librosas(librosa, component, clip):
    ours, theirs = COMPONENTS[component]
    wave = load(clip)
    magnitude = np.abs(librosa.stft(wave))
    expected = theirs(librosa, wave, magnitude)
    got = np.asarray(ours(wave[None], magnitude[None]))[0]
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4 * np.ptp(expected))


@pytest.mark.parametrize("clip", CLIPS)
def test_tuning_is_librosas_up_to_rounding_at_the_edges_of_a_count(librosa, clip):
    pitches = piptrack(librosa, np.abs(librosa.stft(load(clip))), 70, 400)[0]
    distance = (12 * librosa.hz_to_octs(pitches[pitches > 0]) + 0.5) % 1
    counts = np.histogram(distance, np.linspace(0, 1, 101))[0]
    found = round(100 * float(f.tuning(pitches[None])[0])) + 50
    assert counts[found] >= counts.max() - 1
    if np.sum(counts >= counts.max() - 2) == 1:
        assert found / 100 - 0.5 == pytest.approx(librosa.pitch_tuning(pitches))


@given(
    steps=st.lists(st.integers(-30, 30), min_size=9, max_size=9),
    places=st.lists(st.integers(0, 99), min_size=3, max_size=3, unique=True),
)
def test_tuning_is_the_most_common_distance(steps, places):
    # Half of the notes are off by the first distance, and the others by the two others in turn.
    offs = [places[0] if i % 2 == 0 else places[1 + i // 2 % 2] for i in range(len(steps))]
    notes = np.array(steps) + (np.array(offs) + 0.5) / 100 - 0.5
    pitches = np.zeros((1, len(steps), 2), np.float32)
    pitches[0, :, 1] = 440 * 2 ** (notes / 12)
    assert float(f.tuning(pitches)[0]) == pytest.approx(places[0] / 100 - 0.5, abs=1e-6)


def mser(librosa, wave, pitch):
    """Return the 312 values as mser computes them, or with each frame's own pitch."""
    magnitude = np.abs(librosa.stft(wave))
    pitches, strengths = librosa.piptrack(S=magnitude, sr=16_000, fmin=70, fmax=400)
    followed = []
    for i in range(strengths.shape[1]):
        index = strengths[:, 1 if pitch == "original" else i].argmax()
        followed.append(pitches[index, i])
    centroid = librosa.feature.spectral_centroid(y=wave, sr=16_000)
    centroid = centroid / np.sum(centroid)
    level = librosa.feature.rms(S=magnitude)[0]
    mfcc = librosa.feature.mfcc(y=wave, sr=16_000, n_mfcc=50)
    scalars = [
        np.mean(librosa.feature.spectral_flatness(y=wave)),
        np.mean(librosa.feature.zero_crossing_rate(wave)),
        *(np.mean(magnitude), np.max(magnitude)),
        *(np.mean(centroid), np.std(centroid), np.max(centroid)),
        np.std(magnitude),
        *(np.mean(followed), np.max(followed), np.std(followed)),
        librosa.pitch_tuning(pitches),
        *(np.mean(level), np.max(level), np.std(level)),
    ]
    rows = [
        *(mfcc.mean(1), mfcc.std(1), mfcc.max(1)),
        librosa.feature.chroma_stft(S=magnitude, sr=16_000).mean(1),
        librosa.feature.melspectrogram(y=wave, sr=16_000).mean(1),
        librosa.feature.spectral_contrast(S=magnitude, sr=16_000).mean(1),
    ]
    return np.concatenate([scalars, *rows])


@pytest.mark.parametrize("pitch", MODES)
@pytest.mark.parametrize("clip", CLIPS)
def test_the_whole_is_what_mser_computes(librosa, clip, pitch):
    # Where a frame holds one single impulse or digital silence, rounding decides what its strongest peak is.
    wave = load(clip) + 1e-4 * np.random.default_rng(1).standard_normal(SAMPLES).astype(np.float32)
    expected = mser(librosa, wave, pitch)
    got = np.asarray(f.functionals(wave[None], pitch=pitch))[0]
    # Kinds have ranges of their own; that of a scalar is its value.
    kinds = np.split(np.stack([got, expected]), [*range(1, 16), 65, 115, 165, 177, 305], axis=1)
    assert [kind.shape[1] for kind in kinds] == [1] * 15 + [50, 50, 50, 12, 128, 7]
    for ours, theirs in kinds:
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())


def test_the_two_ways_to_follow_pitch_differ_in_pitch_alone():
    # In the second frame, 120 Hz is louder; later, 300 Hz.
    time = np.arange(SAMPLES) / 16_000
    wave = np.sin(2 * np.pi * 120 * time) * (time < 0.5) + np.sin(2 * np.pi * 300 * time) * (time >= 0.5)
    frame, original = (dict(zip(f.NAMES, f.functionals(wave[None], pitch=pitch)[0], strict=True)) for pitch in MODES)
    assert {name for name in f.NAMES if frame[name] != original[name]} == {"pitch_mean", "pitch_max", "pitch_std"}
    assert frame["pitch_max"] == pytest.approx(300, rel=0.01)
    assert original["pitch_max"] == pytest.approx(120, rel=0.01)


@pytest.mark.parametrize("pitch", MODES)
def test_silence_has_finite_values(pitch):
    got = dict(zip(f.NAMES, f.functionals(np.zeros((1, SAMPLES), np.float32), pitch=pitch)[0], strict=True))
    assert all(np.isfinite(value) for value in got.values())
    assert got.pop("flatness_mean") == pytest.approx(1)
    # -100 dB in each of 128 bands
    assert got.pop("mfcc_mean_0") == pytest.approx(-100 * np.sqrt(128), rel=1e-5)
    assert got.pop("mfcc_max_0") == pytest.approx(-100 * np.sqrt(128), rel=1e-5)
    assert max(abs(value) for value in got.values()) < 1e-3


def test_original_follows_no_pitch_where_the_second_frame_has_none():
    wave = np.zeros((1, SAMPLES), np.float32)
    wave[0, 4_000:] = np.sin(2 * np.pi * 70.3125 / 16_000 * np.arange(SAMPLES - 4_000))  # the lowest bin there is
    frame, original = (np.asarray(f.functionals(wave, pitch=pitch))[0] for pitch in MODES)
    assert frame[f.NAMES.index("pitch_max")] > 70
    assert original[f.NAMES.index("pitch_max")] == 0


def test_rows_are_independent():
    rows = np.stack([load("tones"), 1e-3 * load("noise"), np.zeros(SAMPLES, np.float32)])
    alone = np.concatenate([f.functionals(row[None]) for row in rows])
    np.testing.assert_allclose(f.functionals(rows), alone, rtol=1e-5, atol=1e-6)
    # Other devices than a CPU compute all rows at once.
    at_once = jax.jit(f._values, static_argnums=1)(rows, "frame")
    np.testing.assert_allclose(at_once, alone, rtol=1e-4, atol=1e-5)


def test_names_say_what_the_values_are():
    assert len(f.NAMES) == len(set(f.NAMES)) == 312
    wave = load("tones")[None]
    got = dict(zip(f.NAMES, f.functionals(wave).T, strict=True))
    magnitude = f.spectrum(wave)
    np.testing.assert_allclose(got["mel_mean_3"], f.mel(magnitude)[:, 3].mean(1), rtol=1e-5)
    np.testing.assert_allclose(got["chroma_mean_11"], f.chroma(magnitude)[:, 11].mean(1), rtol=1e-5)
    np.testing.assert_allclose(got["contrast_mean_6"], f.contrast(magnitude)[:, 6].mean(1), rtol=1e-5)
    mfcc = f.mfcc(f.mel(magnitude))
    np.testing.assert_allclose(got["mfcc_std_7"], mfcc[:, 7].std(1), rtol=1e-4)
    np.testing.assert_allclose(got["mfcc_max_49"], mfcc[:, 49].max(1), rtol=1e-4)


@given(values=st.lists(st.sampled_from((0.0, 1e-30, 0.5, 1.0, 1.5, 2.0, 7.0, 1e30)), min_size=12, max_size=12))
def test_the_upper_half_begins_at_the_median_of_what_is_not_zero(values):
    x = np.array(values, np.float32)
    sounding = x[x > 0]
    expected = (x >= np.median(sounding)) & (x > 0) if len(sounding) else np.zeros(len(x), bool)
    got = jax.jit(f._upper_half)(np.stack([x, x[::-1]])[:, :, None])
    np.testing.assert_array_equal(got[0, :, 0] & (x > 0), expected)
    np.testing.assert_array_equal(got[1, ::-1, 0], got[0, :, 0])


@settings(max_examples=30)
@given(values=st.lists(st.integers(-3, 3), min_size=4, max_size=4), count=st.integers(1, 4))
def test_the_mean_of_the_largest_counts_equal_values_as_often_as_they_stand(values, count):
    x = np.array(values, np.float32)
    expected = np.sort(x)[-count:].mean()
    got = jax.jit(f._mean_of_largest, static_argnums=1)(x[None, :, None], count)
    np.testing.assert_allclose(got[0, 0], expected, rtol=1e-6)


def test_wrong_arguments_are_named():
    with pytest.raises(UserError, match=r"^The clips have 511 samples; functionals need 512 \(32 ms\) or more\."):
        f.functionals(np.zeros((2, 511), np.float32))
    with pytest.raises(UserError, match=r"^pitch is 'yin'; it must be 'frame' or 'original'\."):
        f.functionals(np.zeros((2, 512), np.float32), pitch="yin")


def test_the_shortest_clips_are_computed():
    wave = np.random.default_rng(0).standard_normal((2, 512)).astype(np.float32)
    shape = jax.eval_shape(f.functionals, wave)
    assert shape.shape == (2, 312)
    assert np.isfinite(f.functionals(wave, pitch="original")).all()
