"""39 values of each frame: librosa's coefficients and slopes, on the encoders' clock, whatever the padding."""

from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.audio.decode import decode
from serjax.audio.mfcc import VALUES, frame_mfcc

REAL = Path(__file__).parents[2] / "../shared/data/ravdess/Actor_01/03-01-05-01-01-01-01.flac"


def noise(samples):
    return np.random.default_rng(samples).normal(0, 0.1, samples).astype(np.float32)


def speech(samples):
    if not REAL.exists():
        pytest.skip("needs RAVDESS in ../shared/data")
    return decode(REAL)[10_000 : 10_000 + samples]


@pytest.mark.parametrize("source", [noise, speech])
def test_values_are_librosas(source):
    librosa = pytest.importorskip("librosa")
    wave = source(16_000)
    mel = librosa.feature.melspectrogram(
        y=wave, sr=16_000, n_fft=400, hop_length=160, n_mels=23, fmin=20, htk=True, norm=None, center=False
    )
    decibels = librosa.power_to_db(mel, top_db=None)
    values = librosa.feature.mfcc(S=decibels, n_mfcc=13, lifter=22)
    slopes = librosa.feature.delta(values, width=5, mode="nearest")
    both = [values, slopes, librosa.feature.delta(slopes, width=5, mode="nearest")]
    expected = np.concatenate(both).T[::2]
    # librosa's lifter begins with the first coefficient, the HTK book's with the second.
    order = np.arange(13)
    ratio = (1 + 11 * np.sin(np.pi * order / 22)) / (1 + 11 * np.sin(np.pi * (order + 1) / 22))
    found, frames = jax.jit(frame_mfcc)(wave[None], np.array([16_000]))
    assert found.shape == (1, 49, VALUES)
    assert int(frames[0]) == 49
    np.testing.assert_allclose(found[0], expected * np.tile(ratio, 3), atol=2e-3)


CALL = jax.jit(frame_mfcc)


@settings(max_examples=20)
@given(st.lists(st.integers(400, 4000), min_size=3, max_size=3))
def test_padding_changes_nothing(lengths):
    padded = np.stack([np.pad(noise(samples), (0, 4000 - samples)) for samples in lengths])
    values, counts = CALL(padded, np.array(lengths))
    for row, samples in enumerate(lengths):
        # Noise goes on after the clip's end, instead of zeros.
        other, _ = CALL(padded[row : row + 1] + noise(4000) * (np.arange(4000) >= samples), np.array([samples]))
        count = int(counts[row])
        assert count == (samples - 400) // 320 + 1
        np.testing.assert_allclose(values[row, :count], other[0, :count], atol=1e-3)


def test_a_frame_is_of_the_samples_that_an_encoder_sees():
    wave = 1e-3 * noise(6400)
    for frame in (0, 3, 17):
        other = wave.copy()
        other[320 * frame : 320 * frame + 400] += noise(400)
        one, two = (CALL(x[None], np.array([6400]))[0][0, :, :13] for x in (wave, other))
        moved = np.abs(one - two).max(axis=1)
        assert moved.argmax() == frame
        # Neighbours share 80 samples with it; all others share none.
        np.testing.assert_allclose(np.delete(moved, [max(frame - 1, 0), frame, frame + 1]), 0, atol=1e-3)
