"""Versions of the same recordings: copies are left out, others are never mixed by chance."""

import pytest
from empty_files import fill

from serjax.data.config import DataConfig
from serjax.data.corpora.read import read_corpus
from serjax.data.corpora.versions import is_version, same_bytes, without_versions
from serjax.runtime.errors import UserError


def read(root, **fields):
    return read_corpus(DataConfig(root=str(root), **fields), ask=False)


@pytest.mark.parametrize("name", ["augmented", "clean", "wav16k", "speed-0.9", "noise_10", "MP3", "copies"])
def test_names_of_versions(name):
    assert is_version(name)
    assert not any(map(is_version, ("anger", "ann", "Actor_01", "1", "", "clean_house")))


PATHS = [f"{{}}/{label}/{n}.wav" for label in ("sad", "joy") for n in "12"]


@pytest.mark.parametrize("form", ["{}/{}", "{1}/{0}"], ids=["above", "below"])
def test_versions_that_differ_are_refused_with_both_folders(tmp_path, form):
    root = fill(
        tmp_path,
        *(
            f"{form.format(kind, label)}/{n}.wav"
            for kind in ("augmented", "clean")
            for label in ("sad", "joy")
            for n in "12"
        ),
    )
    for path in root.rglob("*.wav"):
        path.write_text(str(path))
    with pytest.raises(UserError, match=r"4 recordings lie both in augmented and in clean \(.*\) and differ"):
        read(root)
    for path in root.rglob("*.wav"):
        path.write_text(path.name + path.parent.name if form == "{}/{}" else path.name)
    found = read(root)
    assert len(found.utterances) == 4
    assert any("4 files whose bytes are those of others of the same name are left out" in note for note in found.notes)


def test_equal_names_of_speakers_are_no_versions(tmp_path):
    root = fill(tmp_path, *(path.format(who) for path in PATHS for who in ("ann", "bob")))
    files = sorted(root.rglob("*.wav"))
    assert without_versions(root, files) == (files, [])


def test_versions_of_a_known_corpus_are_refused_with_both_folders(tmp_path):
    names = [f"Actor_01/03-01-0{e}-01-01-01-01.wav" for e in (1, 3)]
    root = fill(tmp_path, *(f"{kind}/{name}" for kind in ("augmented", "clean") for name in names))
    for path in root.rglob("*.wav"):
        path.write_text(str(path))
    with pytest.raises(UserError, match=f"--data.root {root}/augmented or {root}/clean, or move the others away"):
        read(root)


def test_bytes_are_compared(tmp_path):
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2"), ("d", b"12")):
        (tmp_path / name).write_bytes(content)
    assert [same_bytes(tmp_path / "a", tmp_path / name) for name in "bcd"] == [True, False, False]
    with pytest.raises(UserError, match="cannot be read"):
        same_bytes(tmp_path / "a", tmp_path / "none")


def test_counters_in_a_class_called_as_a_version_are_no_versions(tmp_path):
    root = fill(tmp_path, *(f"{label}/{n}.wav" for label in ("anger", "joy", "noise") for n in "12"))
    for path in root.rglob("*.wav"):
        path.write_text(str(path))
    assert read(root).labels == ("anger", "joy", "noise")
