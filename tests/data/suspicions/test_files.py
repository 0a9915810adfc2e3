"""Files around a corpus that are told."""

from serjax.data.look.files import look_at_files
from serjax.data.suspicions.files import of_files


def test_formats_archives_empty_and_hidden_files(tmp_path):
    (tmp_path / "sad").mkdir()
    for name in ("a.wav", "b.m4a", "c.mp4", "more.zip", "._a.wav", ".DS_Store", "notes.txt"):
        (tmp_path / "sad" / name).write_bytes(b"" if name == "a.wav" else b"x")
    found = {one.kind: one for one in of_files(look_at_files(tmp_path))}
    assert list(found) == ["formats_not_read", "archives", "empty_files", "hidden_files"]
    assert "(1 .m4a, 1 .mp4)" in found["formats_not_read"].what
    assert found["archives"].clips == ("sad/more.zip",)
    assert found["empty_files"].clips == ("sad/a.wav",)
    assert found["empty_files"].refused
    assert found["hidden_files"].clips == ("sad/.DS_Store", "sad/._a.wav")


def test_of_sound_files_alone_nothing_is_told(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"x")
    assert list(of_files(look_at_files(tmp_path))) == []
