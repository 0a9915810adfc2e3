"""Formats by their first bytes."""

import numpy as np
import pytest
from served import sound

from serjax.audio.kinds import TRACK_SUFFIXES
from serjax.inference.server.media import _MAGIC, suffix_of


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "AIFF", "MP3"])
def test_what_libsndfile_reads_is_left_to_it(kind):
    assert suffix_of(sound(kind=kind)) == (".wav" if kind == "WAV" else ".sound")


@pytest.mark.parametrize(
    ("suffix", "expected"), [(".mp4", ".mp4"), (".webm", ".mkv"), (".flv", ".flv"), (".avi", ".avi")]
)
def test_videos_are_told_by_their_content(film, tmp_path, suffix, expected):
    path = film(tmp_path / f"clip{suffix}", [np.zeros((64, 64, 3), np.uint8)] * 3, tone=0.2)
    assert suffix_of(path.read_bytes()) == expected


def test_suffixes_are_those_that_pyav_reads():
    assert {suffix for _, _, suffix in _MAGIC} <= TRACK_SUFFIXES | {".wav"}


@pytest.mark.parametrize("content", [b"", b"#EXTM3U\nfile:///etc/passwd", b"ffconcat version 1.0\nfile 'x.wav'"])
def test_playlists_do_not_reach_pyav(content):
    assert suffix_of(content) == ".sound"
