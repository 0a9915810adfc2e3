"""Folders a class: at which level they are, and what is no class."""

from pathlib import Path

import pytest
from empty_files import fill

from serjax.data.config import DataConfig
from serjax.data.corpora.read import read_corpus
from serjax.runtime.errors import UserError


def read(root, **fields):
    return read_corpus(DataConfig(root=str(root), **fields))


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


FAULTS = Path(__file__).parents[3] / "../shared/faults/39_parts_as_classes"


@pytest.mark.parametrize("parts", [("train_set", "test_set"), ("train", "test_clean"), ("Training", "dev", "eval")])
def test_parts_hold_the_classes(tmp_path, parts):
    root = fill(
        tmp_path, *(f"{part}/{label}/{part}{n}.wav" for part in parts for label in ("sad", "joy") for n in "ab")
    )
    found = read(root)
    assert found.labels == ("joy", "sad")
    assert {clip.session for clip in found.utterances} == set(parts)
    assert any("are parts, in which the folders are the classes" in note for note in found.notes)
    assert read(root, corpus="folder", speakers="unknown").labels == tuple(sorted(parts))


@pytest.mark.skipif(not FAULTS.is_dir(), reason="the inputs that failed are not here")
@pytest.mark.parametrize("name", ["underscore", "mixed", "plain"])
def test_parts_that_failed(name):
    found = read(FAULTS / name, speakers="unknown")
    assert found.labels == ("anger", "happy", "neutral", "sad")
    assert any("--folds.kind parts trains and tests as they say" in note for note in found.notes)


@pytest.mark.skipif(not FAULTS.is_dir(), reason="the inputs that failed are not here")
def test_one_part_that_failed():
    found = read(FAULTS / "only_one", speakers="unknown")
    assert found.labels == ("anger", "happy", "neutral", "sad")
    assert "All lies in train_set, whose folders are the classes." in found.notes


def test_first_folders_that_hold_emotions_are_no_classes(tmp_path):
    root = fill(
        tmp_path, *(f"{who}/{label}/{n}.wav" for who in ("ann", "bob") for label in ("sad", "joy") for n in "ab")
    )
    found = read(root, speakers="unknown")
    assert found.labels == ("joy", "sad")
    assert "ann, bob are no emotions, but the folders in them are, and those are the classes." in found.notes
    assert read(root, corpus="folder", speakers="unknown").labels == ("ann", "bob")
    fill(root, "cy/fear/a.wav")
    assert read(root, speakers="unknown").labels == ("fear", "joy", "sad")


def test_classes_that_hold_the_same_speakers_stay_classes(tmp_path):
    root = fill(tmp_path, *(f"{x}/{who}/{n}.wav" for x in ("sad", "joy") for who in ("ann", "bob") for n in "ab"))
    assert read(root, speakers="unknown").labels == ("joy", "sad")
    other = fill(tmp_path / "x", *(f"{x}/Actor_{n}/1.wav" for x in ("kind", "rude") for n in "12"))
    assert read(other, speakers="unknown").labels == ("kind", "rude")


def test_two_levels_of_folders_that_could_be_classes_are_asked_about(tmp_path):
    root = fill(tmp_path, *(f"{x}/{y}/1.wav" for x in ("ann", "bob") for y in ("kind", "rude")))
    with pytest.raises(UserError, match="its folders ann, bob all hold the folders kind, rude, and either") as caught:
        read(root)
    assert "--data.label-pattern '([^/]+)/[^/]+$'" in str(caught.value)
    found = read(root, label_pattern="([^/]+)/[^/]+$", speakers="unknown")
    assert found.labels == ("kind", "rude")


@pytest.mark.parametrize(
    ("folders", "what"),
    [
        (("Actor_01", "Actor_02"), "speakers, not classes"),
        (("female", "male"), "speakers, not classes"),
        (("Crema", "Ravdess", "Savee", "Tess"), "corpora, not classes"),
        (("EMO-DB", "TESS Toronto emotional speech set data"), "corpora, not classes"),
        (("0011", "0012", "0013"), "speakers, not classes"),
        (("JL1", "KR2", "MS3"), "speakers, not classes"),
        (("Session1", "Session2"), "parts of a corpus, not classes"),
        (("wav", "laryngo"), "versions of the same recordings, not classes"),
    ],
)
def test_folders_that_are_no_classes_are_refused(tmp_path, folders, what):
    root = fill(tmp_path, *(f"{folder}/{n}.wav" for folder in folders for n in (f"{folder}1", f"{folder}2")))
    with pytest.raises(UserError, match=f"are {what}") as caught:
        read(root)
    assert "or say --data.corpus folder" in str(caught.value)
    assert read(root, corpus="folder").labels == tuple(sorted(folders))


@pytest.mark.parametrize(
    "folders", [("1", "2", "3"), ("c1", "c2", "c3"), ("Q1", "Q2", "Q3", "Q4"), ("A", "F", "N"), ("high", "low")]
)
def test_folders_that_may_be_classes_are(tmp_path, folders):
    root = fill(tmp_path, *(f"{folder}/{name}{folder}.wav" for folder in folders for name in ("one", "two")))
    assert read(root).labels == folders


def test_half_of_the_folders_is_enough(tmp_path):
    root = fill(tmp_path, *(f"{folder}/{folder}.wav" for folder in ("Actor_01", "test", "wut", "freude")))
    with pytest.raises(UserError, match="its folders Actor_01, test are speakers or parts of a corpus, not classes"):
        read(root)


@pytest.mark.parametrize(("people", "form"), [("OAF YAF", "{}_{}"), ("male female", "{}-{}"), ("s1 s2", "{1}_{0}")])
def test_classes_of_a_speaker_and_an_emotion_each_are_refused(tmp_path, people, form):
    root = fill(tmp_path, *(f"{form.format(who, x)}/1{x}.wav" for who in people.split() for x in ("sad", "angry")))
    with pytest.raises(UserError, match=r"name a speaker .* and an emotion each, so that every class would be of one"):
        read(root)


def test_classes_of_one_speaker_each_are_refused(tmp_path):
    root = fill(tmp_path, "joy/ann_1.wav", "joy/ann_2.wav", "sad/bob_1.wav", "sad/bob_2.wav")
    with pytest.raises(UserError, match=r"classes \(joy, sad\) is of one speaker \(ann, bob\)"):
        read(root, speaker_pattern=r"([a-z]+)_\d")
    assert read(root, speaker_pattern=r"([a-z]+)_\d", corpus="folder").labels == ("joy", "sad")
    fill(root, "sad/ann_3.wav")
    assert read(root, speaker_pattern=r"([a-z]+)_\d").labels == ("joy", "sad")


def test_classes_below_speakers_below_parts(tmp_path):
    paths = [f"{part}/ann{i}/{x}/{x}.wav" for part in ("train", "test") for i in "12" for x in ("sad", "joy")]
    found = read(fill(tmp_path, *paths), speakers="unknown")
    assert found.labels == ("joy", "sad")
    assert {clip.session for clip in found.utterances} == {"train", "test"}


@pytest.mark.parametrize(
    "folders",
    [
        ("speaker_ann", "speaker_bob"),
        ("man1", "woman1"),
        ("id10001", "id10002"),
        ("adult", "child"),
        ("20-30", "31-40"),
        ("weiblich", "männlich"),
        ("2021-01-31", "2021-02-01"),
        tuple(f"{who}_{label}" for who in ("ann", "bob") for label in ("anger", "joy")),
        tuple(f"{label}-{who}" for who in ("Ann", "Bob") for label in ("anger", "joy", "sad")),
    ],
    ids=lambda folders: folders[0],
)
def test_people_and_days_are_no_classes(tmp_path, folders):
    root = fill(tmp_path, *(f"{folder}/{folder}{n}.wav" for folder in folders for n in range(2)))
    with pytest.raises(UserError, match=r"are speakers, not|are parts of|name a speaker"):
        read(root, speakers="unknown")
    assert len(read(root, speakers="unknown", corpus="folder").labels) == len(folders)


def test_degrees_of_emotions_are_classes(tmp_path):
    root = fill(
        tmp_path, *(f"{much}_{label}/{n}.wav" for much in ("weak", "strong") for label in ("joy", "fear") for n in "ab")
    )
    assert len(read(root, speakers="unknown").labels) == 4


def test_what_may_be_no_class_is_told(tmp_path):
    root = fill(
        tmp_path, *(f"{name}/{name}{n}.wav" for name in ("ann", "bob") for n in "12"), "cy/a.pcm", "dee/notes.txt"
    )
    notes = read(root, speakers="unknown").notes
    assert any("No class has the name of an emotion that serjax knows (ann, bob)" in note for note in notes)
    assert "There is no sound file that is read in cy, dee, which is no class." in notes
    assert any("1 .pcm seem to be recordings and are left out" in note for note in notes)


@pytest.mark.parametrize(
    "parts", [("tr", "te"), ("trn", "tst"), ("train", "holdout"), ("train", "public_test", "private_test")]
)
def test_short_names_of_parts(tmp_path, parts):
    root = fill(tmp_path, *(f"{part}/{label}/{part}.wav" for part in parts for label in ("one", "two")))
    assert {clip.session for clip in read(root, speakers="unknown").utterances} == set(parts)
