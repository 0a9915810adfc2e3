"""Files below a folder: sorted into recordings, hidden and other ones by their names, whatever these are."""

import os

from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.data.look.files import as_clips, look_at_files


def write(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def test_files_are_sorted_by_their_names(tmp_path):
    write(tmp_path, "sad/a.WAV", "sad/b.flac", "sad/._a.wav", ".git/c.wav", "__MACOSX/d.wav", "Thumbs.db", "x.mp4")
    write(tmp_path, "readme.md", "more.tar.gz", "calm/a.wav")
    (tmp_path / "calm" / "empty.wav").touch()
    found = look_at_files(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in found.sounds] == [
        *("calm/a.wav", "calm/empty.wav", "sad/a.WAV", "sad/b.flac"),
    ]
    assert found.hidden == (".git/c.wav", "Thumbs.db", "__MACOSX/d.wav", "sad/._a.wav")
    assert (found.unread, found.others) == ({".mp4": 1}, {".md": 1})
    assert (found.archives, found.empty) == (("more.tar.gz",), ("calm/empty.wav",))


@settings(max_examples=25)
@given(st.sets(st.tuples(st.sampled_from("abc"), st.sampled_from(("x", ".y", "z")), st.sampled_from((".wav", ".txt")))))
def test_every_file_is_counted_once(tmp_path_factory, names):
    root = tmp_path_factory.mktemp("files")
    write(root, *(f"{folder}/{stem}{suffix}" for folder, stem, suffix in names))
    found = look_at_files(root)
    assert len(found.sounds) + len(found.hidden) + sum(found.others.values()) == len(names)
    assert len(as_clips(found, root)) == len(found.sounds)


def test_clips_are_labelled_by_the_first_folder_in_which_they_differ(tmp_path):
    write(tmp_path, "all/wav/sad/1/a.wav", "all/wav/calm/a.wav", "all/wav/loose.wav", "all/wav/sad/1/a.flac")
    clips = {clip.id: clip.label for clip in as_clips(look_at_files(tmp_path), tmp_path)}
    assert clips == {
        "all/wav/sad/1/a.wav": "sad",
        "all/wav/sad/1/a.flac": "sad",
        "all/wav/calm/a.wav": "calm",
        "all/wav/loose.wav": "",
    }


def test_links_in_a_circle_and_names_that_are_no_text(tmp_path):
    write(tmp_path, "sad/a.wav")
    (tmp_path / "sad" / "again").symlink_to(tmp_path)
    (tmp_path / "sad" / "broken.wav").symlink_to(tmp_path / "nothing")
    with open(os.fsencode(tmp_path) + b"/sad/\xff.wav", "wb") as file:
        file.write(b"x")
    found = look_at_files(tmp_path)
    assert [clip.id for clip in as_clips(found, tmp_path)] == ["sad/a.wav", "sad/broken.wav", "sad/\\xff.wav"]
