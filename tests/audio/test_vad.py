"""Voice activity: the intervals are librosa's, the joints have the length they should, and little speech falls back."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serjax.audio import vad as activity
from serjax.audio.decode import decode
from serjax.audio.vad import by_energy, by_network, join, load_silero, trim
from serjax.runtime.errors import UserError

SHARED = Path(__file__).parents[2] / "../shared/data"
CLIPS = ("ravdess/Actor_01/03-01-05-02-01-01-01.flac", "ravdess/Actor_24/03-01-04-01-02-02-24.flac")
NO_RECORDINGS = "the recordings in ../shared/data are not here"
real = pytest.mark.skipif(not (SHARED / "ravdess").is_dir(), reason=NO_RECORDINGS)
has_silero = all(importlib.util.find_spec(name) for name in ("onnxruntime", "silero_vad"))


def bursts(levels, length, seed):
    """Return noise whose level in dB steps through `levels`; None is silence."""
    rng = np.random.default_rng(seed)
    gains = [0.0 if level is None else 10 ** (level / 20) for level in levels]
    places = np.arange(length) * len(gains) // max(length, 1)
    return (rng.standard_normal(length) * np.array(gains)[places]).astype(np.float32)


def splits(wave, top_db):
    librosa = pytest.importorskip("librosa", reason="librosa, the witness, is not installed")
    return librosa.effects.split(wave, top_db=top_db)


@real
@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("top_db", [20, 35, 60])
def test_intervals_of_recordings_are_librosas(clip, top_db):
    wave = decode(SHARED / clip)
    expected = splits(wave, top_db)
    assert len(expected) > 0
    np.testing.assert_array_equal(by_energy(wave, top_db), expected)


@given(
    levels=st.lists(st.sampled_from((None, -100, -60, -45, -20, 0)), min_size=1, max_size=8),
    length=st.integers(1, 20_000),
    top_db=st.sampled_from((15.0, 20.0, 30.0)),
    seed=st.integers(0, 99),
)
def test_intervals_are_librosas(levels, length, top_db, seed):
    wave = bursts(levels, length, seed)
    np.testing.assert_array_equal(by_energy(wave, top_db), splits(wave, top_db))


@given(lengths=st.lists(st.integers(0, 60), max_size=6), fade=st.integers(0, 20))
def test_a_joint_takes_the_fade_from_the_length_and_keeps_the_level(lengths, fade):
    joined = join([np.ones(length, np.float32) for length in lengths], fade)
    pieces = lengths[:1]
    for length in lengths[1:]:
        if min(pieces[-1], length) < 2 * fade:
            pieces[-1] += length
        else:
            pieces.append(length)
    assert joined.dtype == np.float32
    assert len(joined) == sum(pieces) - fade * max(len(pieces) - 1, 0)
    np.testing.assert_allclose(joined, 1, rtol=1e-6)


def test_a_cross_fade_goes_from_one_part_to_the_next():
    joined = join([np.zeros(10, np.float32), np.ones(10, np.float32)], 4)
    np.testing.assert_array_equal(joined[:6], 0)
    np.testing.assert_array_equal(joined[10:], 1)
    assert np.all(np.diff(joined[5:11]) > 0)


def test_trim_joins_what_is_loud():
    wave = bursts((None, 0, None, 0, None), 5 * 16_384, seed=0)
    intervals = by_energy(wave)
    assert len(intervals) == 2
    trimmed, kept = trim(wave)
    assert kept
    assert len(trimmed) == np.diff(intervals).sum() - 200
    start, end = intervals[0]
    np.testing.assert_array_equal(trimmed[: end - start - 200], wave[start : end - 200])
    louder, _ = trim(wave, fade=0)
    assert len(louder) == len(trimmed) + 200


@pytest.mark.parametrize(
    "wave",
    [
        np.zeros(0, np.float32),
        np.zeros(48_000, np.float32),
        bursts((0,), 7_999, seed=0),
        bursts((None, None, None, 0, None, None, None), 42_000, seed=0),
    ],
    ids=["empty", "silent", "short", "short speech"],
)
def test_too_little_speech_falls_back_and_says_so(wave):
    trimmed, kept = trim(wave)
    assert kept is False
    assert trimmed is wave


def test_half_a_second_is_enough():
    wave = bursts((0,), 8_000, seed=0)
    trimmed, kept = trim(wave)
    assert kept is True
    np.testing.assert_array_equal(trimmed, wave)


@pytest.mark.parametrize("wrong", [{"top_db": -1.0}, {"fade": -1}, {"method": "loudness"}])
def test_wrong_arguments_are_named(wrong):
    with pytest.raises(UserError, match=rf"^.*{next(iter(wrong))} is .*; .* must be .*\.$"):
        trim(np.ones(16_000, np.float32), **wrong)


@pytest.mark.parametrize("missing", ["silero-vad", "onnxruntime"])
def test_a_missing_package_is_named(monkeypatch, missing):
    monkeypatch.setattr(activity, "_find", lambda name: None if name == missing else "found")
    load_silero.cache_clear()
    with pytest.raises(UserError, match=rf"needs {missing}; pip install {missing}, or choose the method energy\.$"):
        trim(np.ones(16_000, np.float32), method="silero")


class Loudness:
    """In place of a network: speech where the window is loud; checks what it is fed."""

    def __init__(self):
        self.before = np.zeros(64, np.float32)
        self.calls = 0

    def run(self, outputs, feed):
        seen = feed["input"]
        assert outputs is None
        assert seen.shape == (1, 576)
        assert seen.dtype == np.float32
        assert feed["sr"] == 16_000
        assert feed["sr"].dtype == np.int64
        np.testing.assert_array_equal(seen[0, :64], self.before)
        np.testing.assert_array_equal(feed["state"], np.full((2, 1, 128), self.calls))
        self.before = seen[0, -64:]
        self.calls += 1
        loud = np.abs(seen[0, 64:]).max() > 0.5
        return np.array([[0.5 if loud else 0.49]], np.float32), np.full((2, 1, 128), self.calls, np.float32)


def test_the_network_sees_each_window_with_its_context_and_state():
    wave = np.full(2_000, 0.1, np.float32)
    wave[600:1100] = 1
    wave[-1] = 1
    network = Loudness()
    np.testing.assert_array_equal(by_network(wave, network), [[512, 2_000]])
    assert network.calls == 4
    wave[-1] = 0
    np.testing.assert_array_equal(by_network(wave, Loudness()), [[512, 1_536]])


@real
@pytest.mark.skipif(not has_silero, reason="onnxruntime and silero-vad are not both installed")
def test_silero_finds_the_sentence():
    load_silero.cache_clear()
    wave = decode(SHARED / CLIPS[0])
    trimmed, kept = trim(wave, method="silero")
    assert kept
    assert 0.8 * 16_000 < len(trimmed) < 0.8 * len(wave)
    loudest = np.abs(wave).argmax()
    assert any(start <= loudest < end for start, end in by_network(wave, load_silero()))
    hum = (0.1 * np.sin(np.arange(32_000) / 16_000 * 2 * np.pi * 50)).astype(np.float32)
    assert trim(hum, method="silero")[1] is False
