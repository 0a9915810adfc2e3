"""Decoding and resampling: equal to soundfile and soxr themselves, and one sentence for every bad file."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serjax.audio.decode import RECEPTIVE_FIELD, decode, resample
from serjax.audio.kinds import AUDIO_SUFFIXES
from serjax.runtime.errors import UserError

SHARED = Path(__file__).parents[2] / "../shared/data"
RATES = (8_000, 11_025, 16_000, 22_050, 44_100, 48_000)
examples = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def noise(length, channels=1, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (length, channels)).astype(np.float32)


@examples
@given(
    rate=st.sampled_from(RATES),
    to_rate=st.sampled_from(RATES),
    channels=st.integers(1, 6),
    length=st.integers(1_200, 9_000),
)
def test_decode_is_the_mean_of_channels_resampled_by_soxr(tmp_path, rate, to_rate, channels, length):
    samples = noise(length, channels, seed=length)
    path = tmp_path / "clip.wav"
    soundfile.write(path, samples, rate, subtype="FLOAT")
    expected = samples.mean(axis=1)
    if rate != to_rate:
        expected = soxr.resample(expected, rate, to_rate, quality="HQ")
    decoded = decode(path, rate=to_rate)
    assert decoded.dtype == np.float32
    np.testing.assert_array_equal(decoded, expected)
    np.testing.assert_array_equal(resample(samples, rate, to_rate), expected)


@examples
@given(data=st.data(), rate=st.sampled_from(RATES), suffix=st.sampled_from((".wav", ".flac", ".aiff", ".w64")))
def test_a_stretch_is_the_slice_of_the_whole(tmp_path, data, rate, suffix):
    length = data.draw(st.integers(rate // 4, rate))
    first = data.draw(st.integers(0, length - rate // 20))
    last = data.draw(st.integers(first + rate // 20, length))
    path = tmp_path / f"clip{suffix}"
    soundfile.write(path, noise(length, 2), rate)
    whole = decode(path, rate=rate)
    np.testing.assert_array_equal(decode(path, start=first / rate, end=last / rate, rate=rate), whole[first:last])
    np.testing.assert_array_equal(decode(path, start=first / rate, rate=rate), whole[first:])


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".ogg", ".opus", ".aiff", ".au", ".caf", ".w64", ".voc"])
def test_formats(tmp_path, suffix):
    path = tmp_path / f"clip{suffix}"
    rate = 48_000 if suffix == ".opus" else 44_100
    soundfile.write(path, noise(rate), rate, **({"format": "OGG", "subtype": "OPUS"} if suffix == ".opus" else {}))
    assert suffix in AUDIO_SUFFIXES
    assert abs(len(decode(path)) - 16_000) <= 1


def test_blocks_do_not_show(tmp_path, monkeypatch):
    path = tmp_path / "clip.wav"
    soundfile.write(path, noise(5_001, 3), 16_000, subtype="FLOAT")
    whole = decode(path)
    monkeypatch.setattr("serjax.audio.reading._BLOCK", 1_000)
    np.testing.assert_array_equal(decode(path), whole)


@pytest.mark.parametrize("block", [1_000, 1 << 20])
def test_of_channels_that_cancel_each_other_the_loudest_is_taken_and_told(tmp_path, monkeypatch, caplog, block):
    monkeypatch.setattr("serjax.audio.reading._BLOCK", block)
    wave = noise(5_001)[:, 0]
    samples = np.stack([-0.9 * wave, wave], 1).astype(np.float32)
    path = tmp_path / "clip.wav"
    soundfile.write(path, samples, 16_000, subtype="FLOAT")
    np.testing.assert_array_equal(decode(path), wave)
    np.testing.assert_array_equal(decode(path, start=0.1, end=0.2), wave[1_600:3_200])
    np.testing.assert_array_equal(resample(samples, 16_000, 16_000), wave)
    assert [record.message for record in caplog.records] == [
        f"{source}: its channels cancel each other: their mean is more than 20 dB below the loudest, channel 2, which "
        "is taken alone."
        for source in (path, path, "the array")
    ]


def test_a_silent_channel_halves_the_mean_as_ever(tmp_path, caplog):
    wave = noise(5_000)
    path = tmp_path / "clip.wav"
    soundfile.write(path, np.concatenate([wave, np.zeros_like(wave)], 1), 16_000, subtype="FLOAT")
    np.testing.assert_array_equal(decode(path), wave[:, 0] / 2)
    assert not caplog.records


@pytest.mark.parametrize(("dtype", "low"), [("uint8", 0), ("int8", -(2**7)), ("int16", -(2**15)), ("int32", -(2**31))])
def test_integers_are_scaled_by_their_range(dtype, low):
    middle = low + 2.0 ** (8 * np.dtype(dtype).itemsize - 1)
    samples = np.repeat(np.array([low, middle, middle - (middle - low) / 2], dtype), 200)
    np.testing.assert_array_equal(np.unique(resample(samples, 16_000, 16_000)), [-1.0, -0.5, 0.0])


def test_float64_array_resamples_like_float32():
    samples = noise(4_000)[:, 0]
    np.testing.assert_array_equal(resample(samples.astype(np.float64), 8_000, 16_000), resample(samples, 8_000, 16_000))


def test_the_receptive_field_is_the_shortest_clip(tmp_path):
    path = tmp_path / "clip.wav"
    soundfile.write(path, noise(RECEPTIVE_FIELD), 16_000)
    assert len(decode(path)) == RECEPTIVE_FIELD
    soundfile.write(path, noise(RECEPTIVE_FIELD - 1), 16_000)
    with pytest.raises(UserError, match=r"clip\.wav: it lasts 24\.94 ms, less than .* 25 ms \(400 samples at 16 kHz\)"):
        decode(path)


def write(path, content):
    path.write_bytes(content)
    return path


def flac(tmp_path):
    soundfile.write(tmp_path / "whole.flac", noise(16_000), 16_000)
    return (tmp_path / "whole.flac").read_bytes()


def without_length(content):
    content = bytearray(content)
    content[21] &= 0xF0  # STREAMINFO's 36 bits of total samples
    content[22:26] = bytes(4)
    return bytes(content)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda tmp: tmp / "none.wav", r"none\.wav: it cannot be opened \(No such file or directory\)"),
        (lambda tmp: tmp, "it is not a file"),
        (lambda tmp: write(tmp / "empty.wav", b""), r"empty\.wav: the file is empty \(0 bytes\)"),
        (lambda tmp: write(tmp / "text.wav", b"hello " * 100), r"text\.wav: it is not a sound file or is damaged"),
        (lambda tmp: write(tmp / "cut.flac", flac(tmp)[:9_000]), r"cut\.flac: it breaks off 0\.\d+ s before the end"),
        (
            lambda tmp: write(tmp / "clip.m4a", os.urandom(500)),
            r"it is not a recording that FFmpeg reads",
        ),
    ],
)
def test_what_is_no_sound_file_is_said(tmp_path, make, message):
    with pytest.raises(UserError, match=message):
        decode(make(tmp_path))


def test_a_flac_that_was_written_to_a_pipe_is_read_to_its_end(tmp_path):
    whole = flac(tmp_path)
    assert len(decode(write(tmp_path / "pipe.flac", without_length(whole)))) == 16_000


def test_a_file_without_samples_is_said(tmp_path):
    soundfile.write(tmp_path / "clip.wav", np.zeros((0, 1), np.float32), 16_000)
    with pytest.raises(UserError, match=r"clip\.wav: it holds no samples"):
        decode(tmp_path / "clip.wav")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_said_with_their_place(tmp_path, value):
    samples = noise(8_000)
    samples[4_000:4_003] = value
    soundfile.write(tmp_path / "clip.wav", samples, 8_000, subtype="FLOAT")
    with pytest.raises(UserError, match=r"clip\.wav: 3 of its samples are NaN or infinite, the first at 0\.500 s"):
        decode(tmp_path / "clip.wav")


def test_an_mp3_that_breaks_off_is_said(tmp_path):
    soundfile.write(tmp_path / "clip.mp3", noise(48_000), 48_000)
    content = (tmp_path / "clip.mp3").read_bytes()
    with pytest.raises(UserError, match=r"cut\.mp3: it breaks off 0\.\d+ s before the end"):
        decode(write(tmp_path / "cut.mp3", content[: len(content) * 6 // 10]))


@pytest.mark.parametrize(
    ("stretch", "message"),
    [
        ({"start": -0.1}, r"start -0\.1 s is outside of the file, which lasts 1\.000 s"),
        ({"start": 1.0}, "start 1 s is outside of the file"),
        ({"end": 1.02}, r"end 1\.02 s is not between start 0 s and the file's end at 1\.000 s"),
        ({"start": 0.5, "end": 0.5}, r"end 0\.5 s is not between start 0\.5 s"),
        ({"start": 0.5, "end": 0.51}, "it lasts 10.00 ms"),
    ],
)
def test_a_stretch_outside_of_the_file_is_said(tmp_path, stretch, message):
    soundfile.write(tmp_path / "clip.wav", noise(16_000), 16_000)
    with pytest.raises(UserError, match=message):
        decode(tmp_path / "clip.wav", **stretch)


def test_an_end_rounded_up_is_the_end(tmp_path):
    soundfile.write(tmp_path / "clip.wav", noise(15_999), 16_000)
    assert len(decode(tmp_path / "clip.wav", end=1.0)) == 15_999


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (np.zeros((2, 16_000), np.float32), 16_000, r"shape \(2, 16000\) has channels first"),
        (np.zeros((3, 3, 3), np.float32), 16_000, r"shape \(3, 3, 3\)"),
        (np.zeros(16_000, np.int64), 16_000, "type is int64"),
        (np.zeros(16_000, np.complex64), 16_000, "type is complex64"),
        (np.zeros(16_000, np.float32), 0, "rate is given as 0"),
        (np.zeros(16_000, np.float32), float("nan"), "rate is given as nan"),
        (np.zeros(0, np.float32), 16_000, "it holds no samples"),
        (np.zeros(100, np.float32), 16_000, "receptive field"),
    ],
)
def test_bad_arrays_are_said(samples, rate, message):
    with pytest.raises(UserError, match=rf"^clip 3: .*{message}"):
        resample(samples, rate, 16_000, source="clip 3")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real recordings are not here")
def test_real_recordings():
    files = sorted((SHARED / "av_clips/crema_d").glob("*.flac"))
    assert len(files) == 12
    for path in files:
        samples = decode(path)
        assert 1.0 < len(samples) / 16_000 < 5.0
        assert 0.01 < np.abs(samples).max() <= 1.0
    video = next((SHARED / "av_clips/crema_d/flv_orig").iterdir())
    assert abs(len(decode(video)) - len(decode(SHARED / f"av_clips/crema_d/{video.stem}.flac"))) < 0.1 * 16_000
