"""FLAC files that hold more than their header counts."""

import io

import numpy as np
import pytest
import soundfile

from serjax.audio.decode import decode_what_is_there
from serjax.audio.flac import behind_flac

WAVE = 0.1 * np.random.default_rng(0).normal(size=(48_000, 2))


def flac(rate=16_000, subtype="PCM_16", channels=1):
    file = io.BytesIO()
    soundfile.write(file, WAVE[:, :channels], rate, format="FLAC", subtype=subtype)
    return file.getvalue()


def counting(content, samples):
    start = content.index(b"fLaC")
    return content[: start + 22] + samples.to_bytes(4, "big") + content[start + 26 :]


@pytest.mark.parametrize(
    ("rate", "subtype", "channels"),
    [(8_000, "PCM_S8", 1), (16_000, "PCM_16", 1), (11_025, "PCM_16", 2), (96_000, "PCM_24", 2)],
)
def test_what_stands_behind_the_count_is_told(tmp_path, rate, subtype, channels):
    path, content = tmp_path / "clip.flac", flac(rate, subtype, channels)
    for whole in (content, content + b"TAG" + bytes(125), b"ID3\4\0\0\0\0\0\4abcd" + content):
        path.write_bytes(whole)
        assert behind_flac(path, 48_000, rate) == 0
    path.write_bytes(counting(content, 20_000))
    assert behind_flac(path, 20_000, rate) == pytest.approx(28_000 / rate)
    path.write_bytes(content + content)
    assert behind_flac(path, 48_000, rate) == pytest.approx(48_000 / rate)


def test_it_is_a_loss(tmp_path):
    path = tmp_path / "clip.flac"
    path.write_bytes(counting(flac(), 16_000))
    heard = decode_what_is_there(path)
    assert len(heard.wave) == 16_000
    assert heard.loss.more == pytest.approx(2)


def test_other_bytes_are_no_error(tmp_path):
    path, rng = tmp_path / "clip.flac", np.random.default_rng(1)
    for size in (1, 5, 41, 200, 5_000):
        path.write_bytes(b"fLaC" + rng.bytes(size) + b"\xff\xf8" + rng.bytes(3))
        assert behind_flac(path, 10, 16_000) >= 0
