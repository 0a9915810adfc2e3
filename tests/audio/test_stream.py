"""Recordings read block by block are the recordings read at once."""

import numpy as np
import pytest
import soundfile

from serjax.audio import stream
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


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 48_000])
def test_blocks_are_what_decode_gives(tmp_path, rate):
    path = tmp_path / "sound.flac"
    soundfile.write(path, noise(3 * rate + 77), rate)
    found, samples = read(path)
    assert (found.own_rate, found.channels) == (rate, 1)
    assert found.seconds == pytest.approx(3 + 77 / rate)
    expected = decode(path)
    assert abs(len(samples) - len(expected)) <= 1
    least = min(len(samples), len(expected))
    np.testing.assert_allclose(samples[:least, 0], expected[:least], atol=2e-5)


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
