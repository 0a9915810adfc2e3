"""Files below a folder: found, named, and refused where two would be one clip."""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serjax.data.config import DataConfig
from serjax.data.corpora.folders import audio_files
from serjax.data.corpora.read import read_corpus
from serjax.runtime.errors import UserError

examples = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def fill(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def read(root, seed=0, **fields):
    return read_corpus(DataConfig(root=str(root), **fields), seed=seed)


# Without vowels: no word that stands for a missing label, a part or a speaker.
words = st.text("bdfghkqxz", min_size=6, max_size=8)
places = st.tuples(words, st.lists(words, max_size=2), words).map(lambda p: "/".join((p[0], *p[1], p[2])))


@examples
@given(files=st.dictionaries(places, st.sampled_from((".wav", ".FLAC", ".mp3")), min_size=2, max_size=15))
def test_one_folder_per_class(tmp_path_factory, files):
    root = fill(tmp_path_factory.mktemp("root"), "anger/one.wav", "sad/two.wav", *map("".join, files.items()))
    corpus = read(root)
    expected = sorted([*map("".join, files.items()), "anger/one.wav", "sad/two.wav"], key=lambda path: root / path)
    assert [clip.path for clip in corpus.utterances] == [root / path for path in expected]
    for clip in corpus.utterances:
        assert clip.id == clip.path.relative_to(root).with_suffix("").as_posix()
        assert clip.label == clip.id.split("/")[0]
        assert clip.speaker is None
    assert corpus.labels == tuple(sorted({path.split("/")[0] for path in expected}))
    assert corpus.name == root.name


def test_symlinks_are_followed_once_and_hidden_files_skipped(tmp_path):
    elsewhere = fill(tmp_path / "elsewhere", "one.wav")
    root = fill(tmp_path / "root", "sad/two.wav", "sad/._two.wav", ".cache/three.wav", "__MACOSX/sad/two.wav")
    (root / "anger").symlink_to(elsewhere)
    (elsewhere / "loop").symlink_to(root / "anger")
    assert [clip.id for clip in read(root).utterances] == ["anger/one", "sad/two"]


def test_files_that_libsndfile_cannot_read_are_noted(tmp_path):
    root = fill(tmp_path, "anger/a.wav", "happy/b.wav", "happy/c.m4a", "happy/d.M4A", "sad/e.wma", "sad/readme.txt")
    assert "2 .m4a files, 1 .wma files are left out, as libsndfile does not read them." in read(root).notes


def test_paths_that_are_not_utf8_are_refused(tmp_path):
    fill(tmp_path, "anger/a.wav", "sad/b.wav")
    odd = os.fsencode(tmp_path / "sad") + b"/w\xfctend.wav"
    try:
        os.rename(tmp_path / "sad" / "b.wav", odd)
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    with pytest.raises(UserError, match=r"1 of its paths are not UTF-8 \('w\\udcfctend.wav'\)"):
        read(tmp_path)


def labels(root, **fields):
    return {clip.id: clip.label for clip in read(root, **fields).utterances}


def test_a_class_that_is_a_link_does_not_take_the_clips_of_others(tmp_path, caplog):
    store = fill(tmp_path / "store", "anger/a.wav", "sad/b.wav", "joy/c.wav")
    root = tmp_path / "root"
    root.mkdir()
    for name in ("anger", "sad", "joy"):
        (root / name).symlink_to(store / name)
    expected = labels(root)
    assert expected == {"anger/a": "anger", "sad/b": "sad", "joy/c": "joy"}
    for name, target in (("up", store), ("root", root), ("above", tmp_path), ("aside", store / "sad")):
        (store / "anger" / name).symlink_to(target)
        assert labels(root) == expected
    assert "anger/up: it is a link that leads back up" in caplog.text
    assert "anger/aside: it is the same folder as" in caplog.text


def test_links_that_lead_to_one_another_are_told(tmp_path):
    root = fill(tmp_path, "anger/a.wav", "sad/b.wav")
    (root / "sad/x").symlink_to(root / "sad/y")
    (root / "sad/y").symlink_to(root / "sad/x")
    assert labels(root) == {"anger/a": "anger", "sad/b": "sad"}


def test_a_folder_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    root = fill(tmp_path, "anger/a.wav", "sad/b.wav", "joy/c.wav")
    scandir = os.scandir

    def forbidden(path):
        if str(path).endswith("sad"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", forbidden)
    with pytest.raises(UserError, match=r"/sad: the folder cannot be read \(Permission denied\)"):
        read(root)


def test_pipes_are_left_out(tmp_path, caplog):
    root = fill(tmp_path, "anger/a.wav", "sad/b.wav")
    os.mkfifo(root / "sad/pipe.wav")
    assert labels(root) == {"anger/a": "anger", "sad/b": "sad"}
    assert "pipe.wav: it is a pipe" in caplog.text


def test_a_folder_behind_one_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    def refused(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(type(tmp_path), "exists", refused)
    with pytest.raises(UserError, match=r"--data.root .*/x: it cannot be read \(.*/x: Permission denied\)"):
        read_corpus(DataConfig(root=str(tmp_path / "x")))


def test_recordings_of_suffixes_that_are_not_read_are_noted(tmp_path):
    fill(tmp_path, "a/1.wav", "b/2.wave", "b/notes.txt", "b/3.pcm", "b/4.dat", "b/5.dat")
    (tmp_path / "b/4.dat").write_bytes(b"RIFF\0\0\0\0WAVEfmt ")
    files, notes = audio_files(tmp_path)
    assert [path.name for path in files] == ["1.wav", "2.wave"]
    assert notes == [
        "2 .dat, 1 .pcm seem to be recordings and are left out, as their suffix is none of those that are read."
    ]
