"""Kinds of files by their bytes, whatever they are called."""

import pytest

from serjax.audio.kinds import kind_of
from serjax.runtime.errors import UserError


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"RIFF\0\0\0\0WAVEfmt ", "sound"),
        (b"\x1aE\xdf\xa3", "track"),
        (b"\0\0\0\x18ftypM4A ", "track"),
        (b"\xff\xfb\x90", "mp3"),
        (b"ID3\4", "mp3"),
        (b"\xff\xf1", "track"),
        (bytes(100), "unknown"),
        (b"", "unknown"),
    ],
)
def test_bytes_tell(tmp_path, content, kind):
    path = tmp_path / "clip.wav"
    path.write_bytes(content)
    assert kind_of(path) == kind


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", r"a pointer of Git LFS.*git lfs pull"),
        (b"\0\x05\x16\x07\0\x02\0\0Mac OS X", r"what macOS keeps beside one \(AppleDouble\)"),
    ],
)
def test_what_stands_in_the_place_of_a_recording_is_named(tmp_path, content, said):
    (tmp_path / "clip.wav").write_bytes(content)
    with pytest.raises(UserError, match=rf"clip\.wav: .*{said}"):
        kind_of(tmp_path / "clip.wav")
