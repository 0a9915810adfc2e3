"""Levels of recordings: equal to those of all samples at once, for any format, stretch and number of channels."""

import tracemalloc

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.audio import levels as module
from serjax.audio.highpass import dc_offset
from serjax.audio.levels import FULL_SCALE, decibels, measure, measure_samples
from serjax.audio.vad import by_energy
from serjax.runtime.errors import UserError

some = settings(max_examples=30)


@some
@given(
    st.integers(1, 4000),
    st.floats(1e-4, 1.5),
    st.floats(-0.5, 0.5),
    st.integers(1, 700),
    st.integers(0, 2**32 - 1),
)
def test_blocks_add_up_to_what_all_samples_give(count, scale, mean, block, seed):
    wave = (mean + scale * np.random.default_rng(seed).standard_normal(count)).astype(np.float32)
    wave[wave > 1] = 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", block)
        found = measure_samples(wave, 8000)
    exact = wave.astype(np.float64)
    assert found.seconds == count / 8000
    assert found.peak == np.abs(exact).max()
    np.testing.assert_allclose(found.rms, np.sqrt(np.mean(exact**2)), rtol=1e-6)
    np.testing.assert_allclose(found.deviation, exact.std(), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found.offset, dc_offset(wave), rtol=1e-6)
    assert found.clipped == np.mean(np.abs(exact) >= FULL_SCALE)
    assert 0 <= found.silent <= 1
    assert found.digest == measure_samples(wave, 8000).digest


def test_silence_is_what_the_energy_detector_leaves_out(tmp_path):
    noise = np.random.default_rng(0).standard_normal(16000 * 8).astype(np.float32) * 0.1
    noise[16000 * 2 : 16000 * 5] *= 1e-3
    kept = by_energy(noise)
    left_out = 1 - np.diff(kept).sum() / len(noise)
    assert measure_samples(noise).silent == pytest.approx(left_out, abs=0.05)
    offset = noise + np.float32(0.3)
    assert measure_samples(offset).silent == pytest.approx(measure_samples(noise).silent, abs=0.01)
    assert measure_samples(np.zeros(8000, np.float32)).silent == 1
    assert measure_samples(np.full(8000, 0.25, np.float32)).silent == 1
    assert measure_samples(noise[:16000]).silent == 0


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
def test_formats_rates_and_stretches(tmp_path, name):
    time = np.arange(44100) / 44100
    soundfile.write(tmp_path / name, 0.5 * np.sin(2 * np.pi * 441 * time), 44100)
    whole = measure(tmp_path / name)
    assert (whole.rate, whole.channels, whole.seconds) == (44100, 1, 1.0)
    assert decibels(whole.rms) == pytest.approx(-9.03, abs=0.15)  # a sine of half the full scale
    assert decibels(whole.peak) == pytest.approx(-6.02, abs=0.3)
    part = measure(tmp_path / name, start=0.25, end=0.5)
    assert part.seconds == 0.25
    assert part.digest != whole.digest


def test_the_same_samples_have_the_same_digest_in_any_format_and_number_of_channels(tmp_path):
    wave = np.random.default_rng(1).integers(-9000, 9000, 4000).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", wave, 16000)
    soundfile.write(tmp_path / "b.flac", wave, 16000)
    soundfile.write(tmp_path / "c.wav", np.stack([wave, wave], 1), 16000)
    soundfile.write(tmp_path / "d.wav", wave + np.int16(1), 16000)
    one, *same, other = [measure(tmp_path / name).digest for name in ("a.wav", "b.flac", "c.wav", "d.wav")]
    assert same == [one, one]
    assert other != one


def test_channels_that_cancel_are_told_and_one_is_taken(tmp_path):
    wave = 0.3 * np.random.default_rng(2).standard_normal(16000)
    soundfile.write(tmp_path / "inverted.wav", np.stack([wave, -0.99 * wave], 1), 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "mono.wav", wave, 16000, subtype="FLOAT")
    found, mono = measure(tmp_path / "inverted.wav"), measure(tmp_path / "mono.wav")
    assert found.cancelled
    assert not mono.cancelled
    assert (found.rms, found.digest, found.channels) == (mono.rms, mono.digest, 2)


def test_garbage_that_is_finite_gives_finite_numbers(tmp_path):
    wave = np.zeros((4000, 2), np.float32)
    wave[100] = 3e38
    soundfile.write(tmp_path / "garbage.wav", wave, 16000, subtype="FLOAT")
    found = measure(tmp_path / "garbage.wav")
    assert found.peak == pytest.approx(3e38)
    assert np.isfinite([found.rms, found.deviation, found.offset, decibels(found.rms)]).all()


def test_wav_files_that_break_off_are_measured_and_told(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(16000, np.int16), 16000)
    data = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(data[: 44 + 16000])
    found = measure(tmp_path / "a.wav")
    assert (found.seconds, found.missing) == (0.5, 0.5)


def test_the_sound_of_a_video_and_a_stretch_of_it(tmp_path, film):
    pytest.importorskip("av")
    path = film(tmp_path / "a.mp4", np.zeros((50, 64, 64, 3), np.uint8), tone=2.0)
    whole, part = measure(path), measure(path, start=0.5, end=1.0)
    assert (whole.rate, whole.channels) == (48000, 2)
    assert whole.seconds == pytest.approx(2, abs=0.05)
    assert part.seconds == pytest.approx(0.5, abs=0.001)
    assert decibels(part.rms) == pytest.approx(20 * np.log10(0.3 / np.sqrt(2)), abs=0.5)
    with pytest.raises(UserError, match="outside of the file"):
        measure(path, start=5.0)
    with pytest.raises(UserError, match="behind the file's end"):
        measure(path, start=1.0, end=5.0)


def test_what_cannot_be_measured_is_told(tmp_path):
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(UserError, match="it is not a sound file or is damaged"):
        measure(tmp_path / "text.wav")
    (tmp_path / "empty.wav").touch()
    with pytest.raises(UserError, match="the file is empty"):
        measure(tmp_path / "empty.wav")
    with pytest.raises(UserError, match="it cannot be opened"):
        measure(tmp_path / "none.wav")
    wave = np.zeros(1000, np.float32)
    wave[500] = np.nan
    soundfile.write(tmp_path / "nan.wav", wave, 1000, subtype="FLOAT")
    with pytest.raises(UserError, match=r"samples from 0\.500 s on are NaN or infinite"):
        measure(tmp_path / "nan.wav")
    soundfile.write(tmp_path / "none.wav", wave[:0], 1000)
    with pytest.raises(UserError, match="it holds no samples"):
        measure(tmp_path / "none.wav")
    with pytest.raises(UserError, match="it holds no samples"):
        measure_samples(wave[:0])


def test_memory_holds_blocks_alone(tmp_path):
    soundfile.write(tmp_path / "long.wav", np.zeros((60 * 44100, 2), np.int16), 44100)  # 21 MB as floats
    measure(tmp_path / "long.wav", end=0.5)
    tracemalloc.start()
    measure(tmp_path / "long.wav")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 10e6


def test_decibels_have_a_floor():
    assert decibels(1.0) == 0
    assert decibels(0.5) == pytest.approx(-6.02, abs=0.01)
    assert decibels(0.0) == -100
