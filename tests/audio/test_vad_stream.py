"""Speech in blocks is speech in the whole: whatever the blocks, and with little memory."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.audio.decode import decode
from serjax.audio.vad import by_energy, by_network, load_silero
from serjax.audio.vad_stream import AROUND, BELOW_NEIGHBOURS, Energy, mark_speech

CLIP = Path(__file__).parents[2] / "../shared/data/ravdess/Actor_01/03-01-05-02-01-01-01.flac"
real = pytest.mark.skipif(not CLIP.is_file(), reason="the recordings in ../shared/data are not here")
has_silero = all(importlib.util.find_spec(name) for name in ("onnxruntime", "silero_vad"))


def bursts(levels, length, seed=0):
    """Return noise whose level in dB steps through `levels`; None is silence."""
    gains = np.array([0.0 if level is None else 10 ** (level / 20) for level in levels])
    wave = np.random.default_rng(seed).standard_normal(length) * gains[np.arange(length) * len(gains) // length]
    return wave.astype(np.float32)


def marks(sound, sizes, method="energy", **options):
    """Return the marks of sound that comes in blocks of so many samples."""
    sound = sound[:, None] if sound.ndim == 1 else sound
    blocks = np.split(sound, np.cumsum(sizes))
    found = np.concatenate(list(mark_speech(iter(blocks), method, **options)))
    np.testing.assert_array_equal(found[:, : sound.shape[1]], sound)
    return found[:, sound.shape[1] :]


def of(intervals, length):
    expected = np.zeros(length, np.float32)
    for start, end in intervals:
        expected[start:end] = 1
    return expected


@given(
    st.lists(st.sampled_from((None, -45, -20, 0)), min_size=1, max_size=6),
    st.integers(600, 40_000),
    st.lists(st.integers(0, 9_000), max_size=4),
)
def test_of_a_short_recording_it_is_the_activity_by_energy(levels, length, sizes):
    wave = bursts(levels, length)
    found = marks(wave, sizes, separate=False)[:, 0]
    expected = of(by_energy(wave, BELOW_NEIGHBOURS), length) if wave.any() else np.zeros(length)
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=15)
@given(st.lists(st.integers(0, 400_000), max_size=5), st.integers(0, 9))
def test_blocks_do_not_show(sizes, seed):
    rng = np.random.default_rng(seed)
    wave = bursts(rng.choice([-70, -45, -30, -10], 12), 900_000, seed)
    np.testing.assert_array_equal(marks(wave, sizes, separate=False), marks(wave, [], separate=False))


def test_speech_is_compared_with_what_is_near():
    # A shout, then a minute of speech 35 dB below it: far from the shout it is speech, near it is not.
    wave = np.concatenate([bursts([0], 32_000), bursts([-35], 60 * 16_000)])
    found = marks(wave, [50_000] * 20, separate=False)[:, 0]
    assert found[:31_000].all()
    assert not found[34_000 : round((2 + AROUND - 1) * 16_000)].any()
    assert found[round((2 + AROUND + 1) * 16_000) :].all()


def test_a_long_pause_is_no_speech_for_want_of_a_neighbour():
    wave = np.concatenate([bursts([-20], 32_000), bursts([-75], 60 * 16_000), bursts([-20], 32_000)])
    found = marks(wave, [50_000] * 20, separate=False)[:, 0]
    assert found[:31_000].all()
    assert not found[34_000:-34_000].any()
    assert found[-31_000:].all()


def test_silence_is_no_speech():
    assert not marks(np.zeros(100_000, np.float32), [], separate=False).any()


def test_little_is_held():
    detector = Energy()
    for seed in range(100):
        detector.push(bursts([-20], 16_000, seed))
        assert len(detector._wave) < 2048 + 16_000
        assert len(detector._levels) < 2 * AROUND * 16_000 / 512 + 40


def test_channels_are_marked_apart_or_as_their_mix():
    first, second = bursts([0, None, None, None], 64_000), bursts([None, None, 0, None], 64_000, 1)
    both = np.stack([first, second], 1)
    apart = marks(both, [10_000], separate=True)
    for column, wave in enumerate((first, second)):
        np.testing.assert_array_equal(apart[:, column], marks(wave, [], separate=False)[:, 0])
    together = marks(both, [], separate=False)
    assert together.shape == (64_000, 1)
    assert together[1_000:15_000].all()
    assert not together[18_000:30_000].any()
    assert together[34_000:47_000].all()


def test_an_inverted_channel_does_not_hide_speech():
    wave = bursts([0, None], 64_000)
    np.testing.assert_array_equal(
        marks(np.stack([wave, -wave], 1), [], separate=False), marks(wave, [], separate=False)
    )


class Loudness:
    """In place of a network: speech where the loudest sample yet, which the state holds, is near."""

    def run(self, outputs, feed):
        seen, state = feed["input"], feed["state"].copy()
        state += np.abs(seen[0, 64:]).max()
        return np.array([[seen[0].std() / (1 + state.max())]], np.float32), state


@given(st.integers(1, 9_000), st.lists(st.integers(0, 3_000), max_size=4), st.integers(0, 9))
def test_the_network_hears_the_same_in_blocks(length, sizes, seed):
    wave = bursts([0, 20, -10, 30], length, seed)
    found = marks(wave, sizes, "silero", separate=False, session=Loudness())[:, 0]
    np.testing.assert_array_equal(found, of(by_network(wave, Loudness()), length))


def test_empty_sound_has_no_marks():
    assert list(mark_speech(iter([]), "energy", separate=False)) == []


@real
@pytest.mark.skipif(not has_silero, reason="onnxruntime and silero-vad are not both installed")
def test_silero_marks_the_sentence():
    load_silero.cache_clear()
    wave = decode(CLIP)
    found = marks(wave, [7_000, 11_111], "silero", separate=False)[:, 0]
    np.testing.assert_array_equal(found, of(by_network(wave, load_silero()), len(wave)))
    assert 0.2 < found.mean() < 0.9
