"""Augmentation: what was asked for is what is measured, rows are on their own, zeros stay behind a clip."""

import math
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.audio import SAMPLE_RATE
from serjax.audio.augment import (
    RAVDESS_NOISE,
    Bank,
    add_noise,
    gain,
    level,
    load_bank,
    mix_noise,
    mix_noise_choice,
    reverberate,
    spec_augment,
    speed,
    wrap,
)
from serjax.runtime.errors import UserError

SHARED = Path(__file__).parents[2] / "../shared/data"
KEY = jax.random.key(0)
COLUMNS = 1_000
LENGTHS = np.array([1_000, 601, 350, 999])


def clips(lengths=LENGTHS, columns=COLUMNS, seed=0):
    wave = np.random.default_rng(seed).normal(0, 0.1, (len(lengths), columns)).astype(np.float32)
    return np.where(np.arange(columns) < np.asarray(lengths)[:, None], wave, 0)


BANK = Bank(jnp.asarray(3 * clips([300, 2_500, 40], 2_500, seed=1)), jnp.array([300, 2_500, 40]))
RANDOM = {
    "speed": lambda key, wave, lengths, p: speed(key, wave, lengths),
    "gain": lambda key, wave, lengths, p: (gain(key, wave, probability=p), lengths),
    "noise": lambda key, wave, lengths, p: (mix_noise(key, wave, lengths, BANK, probability=p), lengths),
    "gaussian": lambda key, wave, lengths, p: (mix_noise(key, wave, lengths, None, probability=p), lengths),
    "choice": lambda key, wave, lengths, p: (mix_noise_choice(key, wave, lengths, BANK), lengths),
    "room": lambda key, wave, lengths, p: (reverberate(key, wave, lengths, BANK, p), lengths),
}
RANDOM = {name: jax.jit(function) for name, function in RANDOM.items()}
"""Augmentations that draw, each row for itself; p is what some do a clip with."""
each = pytest.mark.parametrize("function", RANDOM.values(), ids=RANDOM.keys())


def measured_snr(clean, noisy, lengths):
    energy = [
        [np.sum(np.square(row[:n], dtype=np.float64)) for row, n in zip(wave, lengths, strict=True)]
        for wave in (np.asarray(clean), np.asarray(noisy) - np.asarray(clean))
    ]
    return 10 * np.log10(np.divide(*energy))


def behind(wave, lengths):
    return wave[np.arange(wave.shape[1]) >= np.asarray(lengths)[:, None]]


@each
def test_the_key_decides(function):
    same, again, other = (function(key, clips(), LENGTHS, 1.0)[0] for key in (KEY, KEY, jax.random.key(1)))
    np.testing.assert_array_equal(same, again)
    assert np.any(same != other)


@each
def test_rows_are_on_their_own(function):
    wave, lengths, others = clips(), LENGTHS.copy(), np.array([0, 2, 3])
    together = function(KEY, wave, lengths, 1.0)
    wave[1], lengths[1] = clips(seed=5)[0], COLUMNS
    for got, want in zip(function(KEY, wave, lengths, 1.0), together, strict=True):
        np.testing.assert_array_equal(got[others], want[others])


@each
def test_vmap_is_a_loop(function):
    keys, waves = jax.random.split(KEY, 2), np.stack([clips(), clips(seed=3)])
    together, _ = jax.vmap(function, (0, 0, None, None))(keys, waves, LENGTHS, 1.0)
    for key, wave, got in zip(keys, waves, together, strict=True):
        np.testing.assert_allclose(got, function(key, wave, LENGTHS, 1.0)[0], rtol=0, atol=1e-6)


@each
def test_zeros_stay_behind_the_clips(function):
    for seed in range(3):
        got, lengths = function(jax.random.key(seed), clips(), LENGTHS, 1.0)
        assert np.all(behind(got, lengths) == 0)
        assert np.all(np.isfinite(got))


@each
def test_silent_and_empty_clips_stay(function):
    silence = np.zeros((4, COLUMNS))
    np.testing.assert_array_equal(function(KEY, silence, np.array([COLUMNS, 0, 1, 0]), 1.0)[0], silence)


@pytest.mark.parametrize("name", ["gain", "noise", "gaussian", "room"])
def test_probability_0_changes_nothing_and_1_every_clip(name):
    np.testing.assert_array_equal(RANDOM[name](KEY, clips(), LENGTHS, 0.0)[0], clips())
    assert np.all(np.any(RANDOM[name](KEY, clips(), LENGTHS, 1.0)[0] != clips(), axis=1))


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**31),
    snr=st.lists(st.floats(-10, 60), min_size=4, max_size=4),
    lengths=st.lists(st.integers(50, COLUMNS), min_size=4, max_size=4),
    gaussian=st.booleans(),
)
def test_snr_is_what_was_asked_for(seed, snr, lengths, gaussian):
    wave, lengths = clips(lengths, seed=seed), np.array(lengths)
    noisy = jax.jit(add_noise)(jax.random.key(seed), wave, lengths, None if gaussian else BANK, np.array(snr))
    np.testing.assert_allclose(measured_snr(wave, noisy, lengths), snr, rtol=0, atol=0.1)


def test_snr_is_drawn_from_its_range():
    lengths = np.full(300, 400)
    wave = clips(lengths, 400)
    snr = measured_snr(wave, jax.jit(mix_noise)(KEY, wave, lengths, BANK, 10, 50), lengths)
    assert 10 - 0.1 < snr.min() < 12
    assert 48 < snr.max() < 50 + 0.1


def test_snr_is_drawn_from_choices():
    lengths = np.full(4_000, 60)
    wave = clips(lengths, 60)
    noisy = np.asarray(jax.jit(partial(mix_noise_choice, bank=None, choices=RAVDESS_NOISE))(KEY, wave, lengths))
    changed = np.any(noisy != wave, axis=1)
    snr = measured_snr(wave[changed], noisy[changed], lengths[changed])
    counts = {value: np.mean(np.abs(snr - value) < 0.1) * changed.mean() for value in (20, 15, 10, 5)}
    assert changed.mean() == pytest.approx(0.5, abs=0.03)
    assert list(counts.values()) == pytest.approx([0.4 / 3, 0.4 / 3, 0.4 / 3, 0.1], abs=0.03)
    assert sum(counts.values()) == pytest.approx(changed.mean())


def test_noise_is_a_stretch_that_starts_over():
    sizes, lengths = np.array([100, 250]), np.full(30, 1_000)
    counted = np.where(np.arange(250) < sizes[:, None], 1 + np.arange(250), 0).astype(np.float32)
    wave = clips(lengths, 1_000)
    added = np.asarray(jax.jit(add_noise)(KEY, wave, lengths, Bank(counted, sizes), np.zeros(30))) - wave
    starts = set()
    for row in added:
        size = min(sizes, key=lambda size: np.abs(row[size:] - row[:-size]).max())
        counts = row / row.max() * size
        start = round(counts[0])
        np.testing.assert_allclose(counts, (start - 1 + np.arange(1_000)) % size + 1, rtol=0, atol=0.1)
        starts.add((int(size), start))
    assert {size for size, _ in starts} == {100, 250}
    assert len(starts) > 20


def test_silent_noise_changes_nothing():
    silent = Bank(np.zeros((1, 30)), np.array([30]))
    np.testing.assert_array_equal(jax.jit(mix_noise)(KEY, clips(), LENGTHS, silent), clips())
    np.testing.assert_array_equal(jax.jit(reverberate)(KEY, clips(), LENGTHS, silent), clips())


def test_gain_is_drawn_from_its_range():
    wave = jnp.asarray(clips(np.full(300, 50), 50))
    change = 20 * np.log10(np.asarray(gain(KEY, wave, -15, 15))[:, 0] / wave[:, 0])
    assert -15.01 < change.min() < -14
    assert 14 < change.max() < 15.01
    some = np.any(gain(KEY, wave, 1, 15, probability=0.2) != wave, axis=1)
    assert some.mean() == pytest.approx(0.2, abs=0.06)


fast = jax.jit(speed, static_argnames="factors")


@settings(max_examples=20)
@given(factor=st.sampled_from([0.5, 0.9, 1.1, 1.25]), hertz=st.floats(150, 3_000), length=st.integers(700, COLUMNS))
def test_speed_changes_the_pitch_by_its_factor(factor, hertz, length):
    wave = np.sin(2 * np.pi * hertz * np.arange(COLUMNS) / SAMPLE_RATE) * (np.arange(COLUMNS) < length)
    played, lengths = fast(KEY, wave[None].astype(np.float32), np.array([length]), factors=(factor,))
    assert played.shape == (1, COLUMNS)
    assert lengths[0] == min(COLUMNS, math.ceil(round(length / factor, 9)))
    spectrum = np.abs(np.fft.rfft(np.asarray(played[0])[: lengths[0]] * np.hanning(lengths[0]), 1 << 16))
    assert np.argmax(spectrum) * SAMPLE_RATE / (1 << 16) == pytest.approx(hertz * factor, abs=2)


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_speed_keeps_the_waveform(factor):
    def tones(samples):
        return sum(np.sin(2 * np.pi * hertz / SAMPLE_RATE * samples + hertz) for hertz in (150, 1_111, 4_000))

    places = np.arange(COLUMNS)
    played, lengths = fast(KEY, tones(places)[None].astype(np.float32), np.array([COLUMNS]), factors=(factor,))
    inner = slice(30, int(lengths[0]) - 30)
    np.testing.assert_allclose(np.asarray(played)[0, inner], tones(places * factor)[inner], rtol=0, atol=0.03)


def test_faster_clips_do_not_alias():
    wave = np.sin(2 * np.pi * 7_500 / SAMPLE_RATE * np.arange(COLUMNS))[None].astype(np.float32)
    played, lengths = fast(KEY, wave, np.array([COLUMNS]), factors=(1.25,))
    assert np.abs(np.asarray(played)[0, 60 : int(lengths[0]) - 60]).max() < 0.02


def test_all_speeds_are_drawn():
    wave = clips(np.full(60, 100), 200)
    played, lengths = map(np.asarray, fast(KEY, wave, np.full(60, 100), factors=(1.0, 0.9, 1.1)))
    assert set(lengths.tolist()) == {100, 112, 91}
    np.testing.assert_array_equal(played[lengths == 100], wave[lengths == 100])


@pytest.mark.parametrize("factors", [(), (1.0, 0.0), (1.0, -0.9), (20.0,)])
def test_speeds_that_cannot_be(factors):
    with pytest.raises(UserError, match=r"must be from 0\.1 to 10"):
        speed(KEY, jnp.asarray(clips()), jnp.asarray(LENGTHS), factors)


@pytest.mark.parametrize("choices", [(), ((0.5, ()),), ((1.5, ()), (-0.5, (3.0,)))])
def test_choices_that_cannot_be(choices):
    with pytest.raises(UserError, match="sum to 1"):
        mix_noise_choice(KEY, jnp.asarray(clips()), jnp.asarray(LENGTHS), None, choices)


@pytest.mark.parametrize(("place", "sign"), [(0, 1), (17, 2.5), (59, 0.1)])
def test_an_impulse_is_no_room(place, sign):
    room = Bank(sign * np.eye(60, dtype=np.float32)[place : place + 1], np.array([60]))
    np.testing.assert_allclose(jax.jit(reverberate)(KEY, clips(), LENGTHS, room), clips(), rtol=0, atol=1e-6)


def test_a_room_is_a_convolution_from_its_peak_on():
    response = np.array([0.1, -0.3, 1.0, 0.5, 0.0, -0.25], np.float32)
    got = np.asarray(jax.jit(reverberate)(KEY, clips(), LENGTHS, Bank(response[None], np.array([6]))))
    for row, wave, length in zip(got, clips(), LENGTHS, strict=True):
        want = np.convolve(wave[:length], response / np.linalg.norm(response))[2 : 2 + length]
        np.testing.assert_allclose(row[:length], want, rtol=0, atol=1e-6)


@settings(max_examples=20)
@given(target=st.floats(-60, 0), scale=st.floats(-6, 2), lengths=st.lists(st.integers(1, 300), min_size=2, max_size=2))
def test_level_is_reached(target, scale, lengths):
    wave = np.float32(10**scale) * clips(lengths, 300)
    got = np.asarray(jax.jit(level)(wave, np.array(lengths), target))
    for row, length in zip(got, lengths, strict=True):
        assert 10 * np.log10(np.mean(np.square(row[:length]))) == pytest.approx(target, abs=0.01)
    assert np.all(behind(got, lengths) == 0)


def test_silence_has_no_level():
    np.testing.assert_array_equal(level(jnp.zeros((2, 30)), jnp.array([30, 0])), np.zeros((2, 30)))


@settings(max_examples=20)
@given(lengths=st.lists(st.integers(1, 90), min_size=3, max_size=3))
def test_wrap_repeats_the_clip(lengths):
    wave = clips(lengths, 90)
    got, full = jax.jit(wrap)(wave, np.array(lengths))
    np.testing.assert_array_equal(got, [np.resize(row[:n], 90) for row, n in zip(wave, lengths, strict=True)])
    np.testing.assert_array_equal(full, [90] * 3)


masked = jax.jit(
    lambda probability, frequency, time, count: (
        spec_augment(KEY, jnp.ones((400, 10, 12)), frequency, time, count, count, probability, -7.0) == -7
    ),
    static_argnums=(1, 2, 3),
)


@pytest.mark.parametrize(("frequency", "time", "count"), [(3, 4, 1), (2, 5, 2), (0, 30, 1), (4, 0, 3)])
def test_spec_augment_masks_at_most_the_widths(frequency, time, count):
    hidden = np.asarray(masked(1.0, frequency, time, count))
    bands, stretches = hidden.all(axis=2), hidden.all(axis=1)
    np.testing.assert_array_equal(hidden, bands[:, :, None] | stretches[:, None])
    # Where all frames are hidden, no band can be told.
    for spans, others, widest in ((bands, stretches, frequency), (stretches, bands, time)):
        spans = spans[~others.all(axis=1)]
        assert spans.sum(axis=1).max() <= widest * count
        assert np.sum(np.diff(spans.astype(int), prepend=0, axis=1) == 1, axis=1).max() <= count


def test_spec_augment_draws_every_width_and_place():
    hidden = np.asarray(masked(1.0, 3, 4, 1))
    bands, stretches = hidden.all(axis=2), hidden.all(axis=1)
    assert set(bands.sum(axis=1).tolist()) == {0, 1, 2, 3}
    assert set(stretches.sum(axis=1).tolist()) == {0, 1, 2, 3, 4}
    assert bands.any(axis=0).all()
    assert stretches.any(axis=0).all()


@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
def test_spec_augment_masks_its_share_of_clips(probability):
    # One band in 4 and one stretch in 5 have no width.
    share = masked(probability, 3, 4, 1).any(axis=(1, 2)).mean()
    assert share == pytest.approx(probability * (1 - 1 / 20), abs=0.15 * probability)


def test_a_bank_holds_the_beginning_of_every_file(tmp_path):
    (tmp_path / "deeper").mkdir()
    long, short = (np.random.default_rng(0).uniform(-0.5, 0.5, size).astype(np.float32) for size in (4_000, 900))
    soundfile.write(tmp_path / "b.wav", short, SAMPLE_RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "deeper" / "c.WAV", long, SAMPLE_RATE, subtype="FLOAT")
    (tmp_path / "README.txt").write_text("no sound")
    wave, length = load_bank(tmp_path, 0.1)
    np.testing.assert_array_equal(length, [900, 1_600])
    np.testing.assert_array_equal(wave, [np.pad(short, (0, 700)), long[:1_600]])


def test_a_bank_without_sound_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"^--augment\.noise: .*missing is no folder"):
        load_bank(tmp_path / "missing", 1.0, "--augment.noise")
    (tmp_path / "notes.txt").write_text("no sound")
    with pytest.raises(UserError, match=r"^--augment\.noise: .* holds no sound files"):
        load_bank(tmp_path, 1.0, "--augment.noise")


def test_real_noise():
    if not (SHARED / "noise").is_dir():
        pytest.skip("needs the noises in ../shared/data")
    noises = load_bank(SHARED / "noise", 15)
    np.testing.assert_array_equal(noises.length, [15 * SAMPLE_RATE, 11 * SAMPLE_RATE, 15 * SAMPLE_RATE])
    noisy = jax.jit(mix_noise)(KEY, clips(), LENGTHS, noises, 5, 5)
    np.testing.assert_allclose(measured_snr(clips(), noisy, LENGTHS), 5, rtol=0, atol=0.1)
