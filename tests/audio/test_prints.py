"""Prints: altered copies of a sound are known, other sounds are not taken for copies."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from scipy import signal

from serjax.audio.prints import SIMILARITY, find_alike, similarity, sound_print

DATA = Path(__file__).parents[2] / "../shared/data"


def voice(seed, seconds=1.5):
    """Return syllables of random pitch, vowel and loudness."""
    rng = np.random.default_rng(seed)
    parts = []
    while sum(map(len, parts)) < seconds * 16000:
        length = int(rng.uniform(0.08, 0.25) * 16000)
        pitch = np.cumsum(np.linspace(*rng.uniform(90, 260, 2), length)) / 16000
        formants = rng.uniform(300, 3500, 3)
        tones = [
            np.sin(2 * np.pi * h * pitch) * sum(np.exp(-(((h * 150 - f) / 250) ** 2)) for f in formants)
            for h in range(1, 25)
        ]
        parts += [np.hanning(length) * rng.uniform(0.2, 1) * sum(tones), np.zeros(int(rng.uniform(0.01, 0.08) * 16000))]
    wave = np.concatenate(parts)[: int(seconds * 16000)]
    return (0.3 * wave / np.abs(wave).max() + 1e-4 * rng.standard_normal(len(wave))).astype(np.float32)


def noisy(wave, decibels):
    noise = np.random.default_rng(9).standard_normal(len(wave))
    return (wave + noise * wave.std() * 10 ** (-decibels / 20)).astype(np.float32)


def faster(wave, factor):
    return signal.resample_poly(wave, 100, round(100 * factor)).astype(np.float32)


ALTERED = {
    "quieter": lambda wave: wave * np.float32(0.1),
    "inverted": lambda wave: -wave,
    "slower": lambda wave: faster(wave, 0.9),
    "faster": lambda wave: faster(wave, 1.1),
    "noise": lambda wave: noisy(wave, 10),
    "faster and noise": lambda wave: noisy(faster(wave, 1.05), 15),
    "clipped": lambda wave: (4 * wave).clip(-0.5, 0.5),
    "telephone": lambda wave: signal.lfilter(*signal.butter(4, 3400 / 8000), wave).astype(np.float32),
    "delayed": lambda wave: np.concatenate([np.zeros(1600, np.float32), wave]),
    "cut": lambda wave: wave[1600:],
}


@pytest.mark.parametrize("name", ALTERED)
def test_altered_copies_are_known(name):
    wave = voice(0)
    one, other = sound_print(wave), sound_print(ALTERED[name](wave))
    assert similarity(one, other) >= SIMILARITY
    assert similarity(other, one) >= SIMILARITY


def test_copies_are_found_among_others():
    waves = [voice(seed) for seed in range(12)]
    alike = [noisy(waves[3], 15), faster(waves[3], 1.1), faster(waves[7], 0.9)]
    prints = [sound_print(wave) for wave in (*waves, *alike)]
    calls = []
    assert find_alike(prints, advance=lambda: calls.append(1)) == [[3, 12, 13], [7, 14]]
    assert len(calls) == 15
    assert find_alike(prints, lambda i, j: {i, j} == {7, 14}) == [[3, 12, 13]]


@pytest.mark.parametrize(
    "wave",
    [
        np.zeros(16000, np.float32),
        np.full(16000, 0.1, np.float32),
        voice(0)[:3000],
        np.zeros(0, np.float32),
        np.sin(2 * np.pi * 440 * np.arange(32000) / 16000).astype(np.float32),
        np.full(16000, np.nan, np.float32),
        np.full(16000, 1e30, np.float32),
    ],
    ids=["silence", "offset", "short", "empty", "tone", "nan", "garbage"],
)
def test_sounds_with_nothing_to_compare_have_no_print(wave):
    with np.errstate(all="ignore"):
        found = sound_print(wave)
    assert found is None
    assert find_alike([found, sound_print(voice(1)), found]) == []


@pytest.mark.parametrize("seconds", [0.25, 30, 200])
def test_long_and_short_sounds_have_prints(seconds):
    wave = np.tile(voice(2, 2.0), int(np.ceil(seconds / 2)))[: int(seconds * 16000)]
    assert similarity(sound_print(wave), sound_print(wave * np.float32(0.5))) > 0.99


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="the real recordings are not here")
@pytest.mark.parametrize("corpus", ["ravdess/Actor_0[27]", "ravdess/Actor_2[23]", "emodb4/train/anger"])
def test_real_recordings_are_no_copies_but_for_the_one_that_is(corpus):
    files = sorted(DATA.glob(f"{corpus}/*.flac"))
    waves = [sf.read(file, dtype="float32")[0] for file in files]
    prints = [sound_print(wave) for wave in waves]
    found = [[files[i].stem for i in group] for group in find_alike(prints)]
    assert found == ([["03-01-03-01-02-01-07", "03-01-03-01-02-02-07"]] if "0[27]" in corpus else [])
    names = ("quieter", "slower", "faster", "noise", "telephone")
    some = [(name, i) for name in names for i in range(0, len(waves), 16)]
    altered = [sound_print(ALTERED[name](waves[i])) for name, i in some]
    assert min(similarity(prints[i], one) for (_, i), one in zip(some, altered, strict=True)) >= SIMILARITY
    groups = find_alike([*prints, *altered])
    assert all(any({i, len(prints) + j} <= {*group} for group in groups) for j, (_, i) in enumerate(some))
