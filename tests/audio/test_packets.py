"""Streams without a length in front: a last page or frame that is not whole, and streams that follow each other."""

import io

import numpy as np
import pytest
import soundfile

from serjax.audio.decode import decode, decode_what_is_there
from serjax.audio.packets import breaks_off, is_chained

WAVE = 0.1 * np.random.default_rng(0).normal(size=16_000)


def ogg(seed=0, codec="VORBIS"):
    file = io.BytesIO()
    soundfile.write(file, np.roll(WAVE, seed), 16_000, format="OGG", subtype=codec)
    return file.getvalue()


def test_an_ogg_file_ends_with_a_whole_page(tmp_path):
    path, content = tmp_path / "clip.ogg", ogg()
    path.write_bytes(content)
    assert not breaks_off(path)
    assert not is_chained(path)
    for size in (len(content) - 9, 30, 4):
        path.write_bytes(content[:size])
        assert breaks_off(path)
    path.write_bytes(b"")
    assert not breaks_off(path)


@pytest.mark.parametrize("codec", ["VORBIS", "OPUS"])
def test_streams_one_after_the_other_are_all_heard(tmp_path, codec):
    path = tmp_path / "clip.ogg"
    path.write_bytes(ogg(0, codec) + ogg(5, codec) + ogg(9, codec))
    assert is_chained(path)
    assert len(decode(path)) == pytest.approx(48_000, abs=1_000)


ADTS = bytes((0xFF, 0xF1, 0x60, 0x40, 1, 0x20, 0)) + b"\x55\x54"


@pytest.mark.parametrize(
    ("content", "cut"),
    [
        (3 * ADTS, (1, 4, 8)),
        (b"#!AMR\n" + 3 * (b"\x3c" + bytes(31)), (1, 30)),
        (b"#!AMR-WB\n" + 3 * (b"\x44" + bytes(60)), (1, 59)),
        (3 * (b"G" + bytes(187)), (1, 180)),
    ],
    ids=["adts", "amr", "amr-wb", "ts"],
)
def test_the_last_frame_is_whole_or_not(tmp_path, content, cut):
    path = tmp_path / "clip"
    path.write_bytes(content)
    assert not breaks_off(path)
    for size in cut:
        path.write_bytes(content[:-size])
        assert breaks_off(path)
    path.write_bytes(content + b"TAG" + bytes(125) if content[0] == 0xFF else b"RIFF")
    assert not breaks_off(path)


def test_streams_of_two_rates_are_told(tmp_path):
    other = io.BytesIO()
    soundfile.write(other, WAVE, 44_100, format="OGG", subtype="VORBIS")
    (tmp_path / "clip.ogg").write_bytes(ogg() + other.getvalue())
    assert decode_what_is_there(tmp_path / "clip.ogg").loss.seconds
