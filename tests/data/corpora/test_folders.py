"""Folders of recordings: files found below a root, labels from folders or names, and what cannot be told."""

import os
import string
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serjax.data.config import DataConfig
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


words = st.text(string.ascii_lowercase, min_size=6, max_size=8)
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


def test_single_train_folder_is_no_class(tmp_path):
    root = fill(tmp_path, "train/anger/a.wav", "train/happy/b.wav")
    assert read(root).labels == ("anger", "happy")
    assert [clip.id for clip in read(root).utterances] == ["train/anger/a", "train/happy/b"]


@pytest.mark.parametrize("above", ["Audio", "a/b/c", "Audio/train"])
def test_a_folder_that_holds_one_folder_is_looked_through(tmp_path, above):
    root = fill(tmp_path, f"{above}/anger/a.wav", f"{above}/happy/more/b.wav")
    found = read(root)
    assert found.labels == ("anger", "happy")
    assert [clip.id for clip in found.utterances] == [f"{above}/anger/a", f"{above}/happy/more/b"]
    assert f"All lies in {above}, whose folders are the classes." in found.notes
    assert not any("All lies in" in note for note in read(root / above).notes)


SAVEE = {
    who: [f"{code}{n:02d}" for code in ("a", "d", "f", "h", "n", "sa", "su") for n in (1, 2)] for who in ("DC", "KL")
}


@pytest.mark.parametrize(
    "layout", ["{0}_{1}.wav", "ALL/{0}_{1}.wav", "AudioData/{0}/{1}.wav", "SAVEE/AudioData/{0}/{0}_{1}.wav"]
)
@pytest.mark.parametrize("corpus", ["auto", "savee"])
def test_savee_by_its_names(tmp_path, layout, corpus):
    fill(tmp_path, *(layout.format(who, name) for who, names in SAVEE.items() for name in names))
    found = read(tmp_path, corpus=corpus)
    assert found.name == "SAVEE"
    assert found.labels == ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
    assert Counter(clip.speaker for clip in found.utterances) == {"DC": 14, "KL": 14}
    assert set(Counter(clip.label for clip in found.utterances).values()) == {4}
    assert len({clip.id for clip in found.utterances}) == 28


def test_nemo_by_its_names(tmp_path):
    emotions = ("anger", "fear", "happiness", "neutral", "sadness", "surprised")
    fill(tmp_path, *(f"samples/{who}_{name}_{n}.wav" for who in ("EB0", "SB11") for name in emotions for n in (1, 90)))
    found = read(tmp_path)
    assert (found.name, found.labels) == ("nEMO", emotions)
    assert Counter(clip.speaker for clip in found.utterances) == {"EB0": 12, "SB11": 12}


def test_files_that_libsndfile_cannot_read_are_noted(tmp_path):
    root = fill(tmp_path, "anger/a.wav", "happy/b.wav", "happy/c.m4a", "happy/d.M4A", "sad/e.wma", "sad/readme.txt")
    assert "2 .m4a files, 1 .wma files are left out, as libsndfile does not read them." in read(root).notes


RAVDESS = tuple(f"03-0{c}-0{e}-01-01-01-{a:02d}" for c in (1, 2) for e in range(1, 9) for a in (1, 2, 24))


def test_duplicate_ravdess_files_are_left_out(tmp_path):
    fill(tmp_path, *(f"{top}Actor_{name[-2:]}/{name}.wav" for top in ("", "audio_speech/") for name in RAVDESS))
    found = read(tmp_path)
    assert sorted(clip.path.stem for clip in found.utterances) == sorted(RAVDESS)
    assert all(clip.id.startswith("Actor_") for clip in found.utterances)
    assert f"{len(RAVDESS)} files that bear the name of another one are left out." in found.notes


EMODB = ("03a01Wa", "03a01Fa", "08b10Wb", "08b10Na", "08a02Fc", "16a02Nb")


def test_emodb_in_class_folders_takes_labels_from_them(tmp_path):
    folders = {"W": "anger", "F": "happy", "N": "neutral"}
    fill(tmp_path, *(f"{folders[name[5]]}/{name}.wav" for name in EMODB))
    found = read(tmp_path)
    assert found.labels == ("anger", "happy", "neutral")
    assert {(clip.speaker, clip.label) for clip in found.utterances} == {(n[:2], folders[n[5]]) for n in EMODB}
    assert (
        found.notes[0] == "EMO-DB by its file names: labels are the folders' names, speakers are read from the names."
    )
    assert read(tmp_path, corpus="emodb").labels == ("anger", "happiness", "neutral")
    assert {clip.speaker for clip in read(tmp_path, corpus="folder").utterances} == {None}


def test_emodb_in_merged_class_folders(tmp_path):
    fill(tmp_path, *(f"{'calm' if name[5] == 'N' else 'aroused'}/{name}.wav" for name in EMODB))
    assert read(tmp_path).labels == ("aroused", "calm")


@pytest.mark.parametrize("layout", ["{0}.wav", "wav/{0}.wav", "{1}/{0}.wav"])
def test_emodb_in_speaker_folders_takes_labels_from_names(tmp_path, layout):
    fill(tmp_path, *(layout.format(name, name[:2]) for name in EMODB))
    found = read(tmp_path)
    assert found.labels == ("anger", "happiness", "neutral")
    assert Counter(clip.speaker for clip in found.utterances) == Counter(name[:2] for name in EMODB)


def test_paths_that_are_not_utf8_are_refused(tmp_path):
    fill(tmp_path, "anger/a.wav", "sad/b.wav")
    odd = os.fsencode(tmp_path / "sad") + b"/w\xfctend.wav"
    try:
        os.rename(tmp_path / "sad" / "b.wav", odd)
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    with pytest.raises(UserError, match=r"1 of its paths are not UTF-8 \('w\\udcfctend.wav'\)"):
        read(tmp_path)
