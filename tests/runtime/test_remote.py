"""Recordings behind URLs: folders, lists and clips are read as from a disk, and what is wrong gets a sentence."""

import pickle
import sys
from pathlib import Path

import fsspec
import numpy as np
import pytest
import soundfile
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

from serjax.audio.decode import decode
from serjax.data.config import DataConfig
from serjax.data.corpora.read import read_corpus
from serjax.data.store.clips import open_store
from serjax.runtime.errors import MissingPackage, UserError
from serjax.runtime.remote import RemotePath, as_path, is_remote


@pytest.fixture
def local(tmp_path):
    """A folder a class on the disk, with a list of its clips and what is hidden in it."""
    rng, root = np.random.default_rng(0), tmp_path / "corpus"
    rows = ["path,label,speaker"]
    for label in ("happy", "sad"):
        (root / label).mkdir(parents=True)
        for i in range(3):
            suffix = ("wav", "flac", "mp3")[i]
            soundfile.write(root / label / f"{label}{i}.{suffix}", rng.normal(0, 0.1, 12000), 22050)
            rows.append(f"{label}/{label}{i}.{suffix},{label},spk{i}")
    (root / "sad" / ".hidden.wav").touch()
    (root / "clips.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture(params=["memory", "file"])
def remote(request, local):
    """The same folder, as a URL."""
    if request.param == "file":
        yield local.as_uri()
        return
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    fsspec.filesystem("memory").put(str(local), "/bucket/corpus", recursive=True)
    yield "memory://bucket/corpus"
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def described(clips):
    return [(clip.id, clip.label, clip.speaker) for clip in clips]


@pytest.mark.parametrize("root", ["", "/clips.csv"], ids=["folder", "list"])
def test_clips_of_a_url_are_those_of_the_disk(local, remote, tmp_path, root):
    there, here = (read_corpus(DataConfig(root=f"{base}{root}")) for base in (remote, local))
    assert described(there.utterances) == described(here.utterances)
    assert (there.name, there.labels, there.notes) == (here.name, here.labels, here.notes)
    stores = [open_store(one.utterances, tmp_path / f"store{i}", skip_bad=False) for i, one in enumerate((there, here))]
    assert stores[0].hashes == stores[1].hashes
    np.testing.assert_array_equal(stores[0].clip(2), stores[1].clip(2))


def test_lists_on_the_disk_name_urls_and_lists_behind_urls_the_disk(local, remote, tmp_path):
    for number, (base, other) in enumerate(((remote, str(local)), (str(local), remote))):
        path = tmp_path / f"{number}.tsv"
        path.write_text(f"{base}/sad/sad0.wav\tsad\n{other}/happy/happy1.flac\thappy\n")
        clips = read_corpus(DataConfig(root=str(path))).utterances
        assert [is_remote(clip.path) for clip in clips] == [number == 0, number == 1]
        assert all(clip.path.is_file() for clip in clips)
        assert clips[number].id == f"{remote}/{'sad/sad0' if number == 0 else 'happy/happy1'}"
    path.write_text("happy/../sad/sad0.wav\tsad\nhappy/happy1.flac\thappy\n")
    clips = read_corpus(DataConfig(root=str(path), audio_root=remote, speaker_pattern=r"(?P<speaker>\d)\.")).utterances
    assert [clip.speaker for clip in clips] == ["0", "1"]
    assert str(clips[0].path) == f"{remote}/sad/sad0.wav"


def test_stretch_of_a_url_is_decoded(local, remote):
    for name in ("sad/sad0.wav", "sad/sad1.flac"):
        found = decode(f"{remote}/{name}", start=0.1, end=0.3)
        np.testing.assert_array_equal(found, decode(local / name, start=0.1, end=0.3))


def test_clips_are_decoded_again_where_the_store_says_that_they_changed(remote, tmp_path):
    def opened():
        return open_store(read_corpus(DataConfig(root=remote)).utterances, tmp_path / "store", skip_bad=False)

    first = opened()
    assert opened().folder == first.folder
    with fsspec.open(f"{remote}/sad/sad0.wav", "wb") as file:
        soundfile.write(file, np.random.default_rng(1).normal(0, 0.1, 15000), 16000, format="WAV")
    again = opened()
    assert again.folder != first.folder
    assert len(again.clip(3)) == 15000


def test_what_is_missing_or_damaged_gets_a_sentence(remote, tmp_path):
    for root in (f"{remote}/gone", remote.replace("corpus", "gone")):
        with pytest.raises(UserError, match=f"--data.root {root}: there is no such folder or list; correct the path"):
            read_corpus(DataConfig(root=root))
    (tmp_path / "a.tsv").write_text("sad/sad0.wav\tsad\nsad/gone.wav\tsad\nnowhere/x.wav\thappy\n")
    with pytest.raises(UserError, match=r"2 of its 3 files do not exist \(line 2: sad/gone\.wav, line 3: nowhere"):
        read_corpus(DataConfig(root=str(tmp_path / "a.tsv"), audio_root=remote))
    with pytest.raises(UserError, match=r"gone\.wav: it cannot be opened \(.*[Nn]o such file"):
        decode(f"{remote}/gone.wav")
    with fsspec.open(f"{remote}/sad/sad0.wav", "wb") as file:
        file.write(b"no sound")
    clips = read_corpus(DataConfig(root=remote)).utterances
    with pytest.raises(UserError, match=rf"1 of 6 .*\n{remote}/sad/sad0\.wav: it is not a sound file"):
        open_store(clips, tmp_path / "store", skip_bad=False)
    assert len(open_store(clips, tmp_path / "store", skip_bad=True)) == 5


def test_what_needs_a_disk_is_refused(remote):
    for options in ({"videos": True}, {}):
        with pytest.raises(UserError, match="read from a disk; copy the folder there"):
            read_corpus(DataConfig(root=remote, corpus="auto" if options else "iemocap"), **options)
    with fsspec.open(f"{remote}/film.mp4", "wb") as file:
        file.write(b"film")
    with pytest.raises(UserError, match=r"film\.mp4: the sound of videos is read from a disk"):
        decode(f"{remote}/film.mp4")


def test_missing_packages_and_unknown_urls_get_a_sentence(monkeypatch):
    with pytest.raises(UserError, match="xyz://a/b: xyz:// is nothing that fsspec reads; give such as gs://"):
        as_path("xyz://a/b")
    with pytest.raises(UserError, match="a URL within another one"):
        as_path("zip://a.wav::memory://b.zip")

    def missing(scheme):
        raise ImportError(f"Please install the package for {scheme}")

    with monkeypatch.context() as patch:
        patch.setattr(fsspec, "filesystem", missing)
        for scheme, package in (("gs", "gcsfs"), ("s3", "s3fs")):
            with pytest.raises(MissingPackage, match=rf"{scheme}:// is read by {package}, .* 'serjax\[remote\]'"):
                as_path(f"{scheme}://bucket/x")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingPackage, match="URLs of recordings are read by fsspec, which is not installed"):
        as_path("memory://a")


@pytest.mark.parametrize("error", [RuntimeError("Unable to locate credentials"), PermissionError("Forbidden")])
def test_errors_of_a_store_are_told(remote, monkeypatch, error):
    clips = read_corpus(DataConfig(root=remote)).utterances

    def refuse(*_, **__):
        raise error

    file_system = as_path(remote).file_system
    for method in ("info", "ls", "ukey", "open"):
        monkeypatch.setattr(type(file_system), method, refuse)
    with pytest.raises(UserError, match=rf"corpus: it cannot be read \({error}\); correct the URL, or log in"):
        read_corpus(DataConfig(root=remote))
    with pytest.raises(UserError, match=rf"it cannot be opened \({error}\)"):
        decode(str(clips[0].path))


@given(st.lists(st.from_regex(r"[a-z0-9 äß]{1,5}", fullmatch=True), min_size=1, max_size=4))
def test_parts_of_a_url_are_joined_and_taken_apart_as_those_of_a_path(parts):
    root = RemotePath("gs://bucket/corpus")
    path = root.joinpath(*parts)
    assert str(path) == f"gs://bucket/corpus/{'/'.join(parts)}"
    assert path.relative_to(root).as_posix() == Path(*parts).as_posix()
    assert RemotePath(str(path)) == path == pickle.loads(pickle.dumps(path))
    assert hash(RemotePath(str(path))) == hash(path)
    assert str(as_path("file:///clips/a/../b.wav")) == "file:///clips/b.wav"
