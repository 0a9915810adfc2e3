"""Recordings read block by block are the recordings read at once."""

import struct

import numpy as np
import pytest
import soundfile
from hypothesis import assume, given
from hypothesis import strategies as st

from serjax.audio import reading, stream
from serjax.audio.decode import decode
from serjax.audio.stream import open_stream
from serjax.runtime.errors import UserError


def noise(samples, channels=1):
    return np.random.default_rng(0).normal(0, 0.1, (samples, channels)).astype(np.float32)


def read(sound):
    with open_stream(sound) as found:
        blocks = list(found.blocks)
    return found, np.concatenate(blocks) if blocks else np.zeros((0, 1), np.float32)


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch):
    monkeypatch.setattr(stream, "_SECONDS", 1)
    monkeypatch.setattr(reading, "_SECONDS", 1)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 48_000])
def test_blocks_are_what_decode_gives(tmp_path, rate):
    path = tmp_path / "sound.flac"
    soundfile.write(path, noise(3 * rate + 77), rate)
    found, samples = read(path)
    assert (found.own_rate, found.channels) == (rate, 1)
    assert found.seconds == pytest.approx(3 + 77 / rate)
    np.testing.assert_array_equal(samples[:, 0], decode(path))


@given(frames=st.integers(1, 200_000), rate=st.integers(1, 200_000))
def test_the_number_of_samples_is_known_before_they_are_read(frames, rate):
    assume(frames * 16_000 / rate < 1_000_000)
    with open_stream((np.zeros(frames, np.float32), rate)) as found:
        assert found.frames == sum(map(len, found.blocks))


def test_channels_stay_apart(tmp_path):
    path, wave = tmp_path / "sound.wav", noise(20_000, 2)
    soundfile.write(path, wave, 16_000, subtype="FLOAT")
    np.testing.assert_array_equal(read(path)[1], wave)
    np.testing.assert_array_equal(read((wave, 16_000))[1], wave)


def test_sound_of_a_video_is_read(tmp_path, film):
    path = film(tmp_path / "clip.mp4", np.full((2, 48, 48, 3), 60, np.uint8), tone=1.5)
    found, samples = read(path)
    assert found.own_rate == 48_000
    expected = decode(path)
    least = min(len(samples), len(expected))
    assert abs(len(samples) - len(expected)) <= 1
    np.testing.assert_allclose(samples[:least].mean(1), expected[:least], atol=2e-5)


def test_nan_is_told_with_its_time(tmp_path):
    wave = noise(40_000)
    wave[24_000] = np.nan
    soundfile.write(tmp_path / "bad.wav", wave, 16_000, subtype="FLOAT")
    with pytest.raises(UserError, match=r"bad.wav: samples from 1.500 s are NaN or infinite"):
        read(tmp_path / "bad.wav")


@pytest.mark.parametrize(("content", "message"), [(b"", "the file is empty"), (b"text", "it is not a sound file")])
def test_what_is_no_sound_is_refused(tmp_path, content, message):
    (tmp_path / "no.wav").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read(tmp_path / "no.wav")


def test_video_without_sound_is_refused(tmp_path, film):
    path = film(tmp_path / "clip.mp4", np.full((2, 48, 48, 3), 60, np.uint8))
    with pytest.raises(UserError, match="the video has no sound"):
        read(path)


HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")


def wav(samples, size=None):
    """Return a WAV file of 16 bit whose header says that its samples have so many bytes."""
    size = 2 * samples if size is None else size
    head = b"RIFF", (36 + size) % 2**32, b"WAVE", b"fmt ", 16, 1, 1, 16_000, 32_000, 2, 16, b"data", size
    return HEADER.pack(*head) + np.arange(samples, dtype="<i2").tobytes()


@pytest.mark.parametrize(("content", "frames"), [(wav(0), 0), (wav(20_000, 0), 20_000)])
def test_a_header_that_counts_no_samples(tmp_path, content, frames):
    (tmp_path / "no.wav").write_bytes(content)
    assert len(read(tmp_path / "no.wav")[1]) == frames


@pytest.mark.parametrize("size", [0xFFFFFFFF, 2 * 40_000])
def test_a_file_that_grows_is_read_as_far_as_it_went(tmp_path, size):
    path = tmp_path / "grows.wav"
    path.write_bytes(wav(40_000, size))
    with open_stream(path) as found:
        total = 0
        for block in found.blocks:
            total += len(block)
            path.write_bytes(path.read_bytes() + bytes(50_000))
    assert total == 40_000
    assert found.notes == [f"{path}: it grew while it was read; the first 2.5 s are answered."]


def test_a_wav_that_breaks_off_is_read_and_told(tmp_path):
    path = tmp_path / "cut.wav"
    path.write_bytes(wav(40_000, 2 * 48_000))
    found, samples = read(path)
    assert len(samples) == 40_000
    told = "it breaks off 0.500 s before the end that its header gives; the rest is answered."
    assert found.notes == [f"{path}: {told}"]


@pytest.mark.parametrize("suffix", [".flac", ".mp3"])
def test_another_format_that_breaks_off_is_read_and_told(tmp_path, suffix):
    path = tmp_path / f"cut{suffix}"
    soundfile.write(path, noise(160_000), 16_000)
    whole, content = read(path)[1], path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    found, samples = read(path)
    (told,) = found.notes
    lost = float(told.partition("breaks off ")[2].partition(" s before")[0])
    assert told.endswith("the rest is answered.")
    assert lost + len(samples) / 16_000 == pytest.approx(10, abs=0.15)
    assert np.abs(samples[:64_000] - whole[:64_000]).mean() < 0.1


@pytest.mark.parametrize("rate", [0, -1, np.nan])
def test_an_array_has_a_rate(rate):
    with pytest.raises(UserError, match="the array: its rate is given as"):
        read((noise(100), rate))
