"""Clips for a look: those of the corpus, and what files say alone where training would refuse it."""

import shutil

import pytest

from serjax.data.config import DataConfig
from serjax.data.look.reading import read_for_a_look
from serjax.runtime.errors import UserError


def kinds(reading):
    return [one.kind for one in reading.suspicions]


def test_a_corpus_is_read_as_training_reads_it(small):
    found = read_for_a_look(DataConfig(root=str(small), speaker_pattern=r"/(?P<speaker>[a-z]+)\d"))
    assert (found.name, found.labels, found.labelled) == (small.name, ("calm", "sad"), True)
    assert {clip.speaker for clip in found.utterances} == {"ann", "bob"}
    assert kinds(found) == []
    assert len(found.files.sounds) == 8


def test_speakers_in_names_are_offered_and_their_absence_is_told(tmp_path, noise):
    for label in ("calm", "sad"):
        for who in range(3):
            for n in range(3):
                noise(tmp_path / label / f"spk{who}_{n}.wav", seconds=0.05)
    (found,) = read_for_a_look(DataConfig(root=str(tmp_path))).suspicions
    assert found.refused
    assert "spk0, spk1, spk2" in found.what
    assert "--data.speaker-pattern" in found.remedy
    assert kinds(read_for_a_look(DataConfig(root=str(tmp_path), speakers="unknown"))) == ["no_speakers"]
    for folder in (tmp_path / "calm", tmp_path / "sad"):
        for n, path in enumerate(sorted(folder.iterdir())):
            path.rename(folder / f"clip{n}.wav")
    assert kinds(read_for_a_look(DataConfig(root=str(tmp_path)))) == ["no_speakers"]


def test_parts_in_place_of_classes_are_refused_with_their_remedy_and_shown_all_the_same(small, tmp_path):
    for part in ("train", "test"):
        shutil.copytree(small / "sad", tmp_path / part)
    found = read_for_a_look(DataConfig(root=str(tmp_path)))
    assert not found.labelled
    assert found.labels == ("test", "train")
    assert len(found.utterances) == 8
    assert found.suspicions[0].kind == "refused"
    assert "8 files lie directly in its folders test, train and have no label" in found.suspicions[0].what
    assert found.suspicions[0].remedy


def test_a_single_class_and_loose_files_are_shown(small, tmp_path):
    shutil.copytree(small / "sad", tmp_path / "sad")
    found = read_for_a_look(DataConfig(root=str(tmp_path)))
    assert (found.labels, len(found.utterances)) == (("",), 4)
    shutil.copy(small / "calm" / "ann1.wav", tmp_path / "loose.wav")
    found = read_for_a_look(DataConfig(root=str(tmp_path)))
    assert found.labels == ("", "sad")
    assert "have no label" in found.suspicions[0].what


def test_of_a_list_missing_files_are_told_and_the_others_read(small, tmp_path):
    names = [f"{small}/{path.parent.name}/{path.name}" for path in sorted(small.rglob("*.wav"))]
    lines = [f"{name}\t{name.split('/')[-2]}" for name in [*names, f"{small}/sad/gone.wav"]]
    (tmp_path / "list.tsv").write_text("\n".join(lines))
    found = read_for_a_look(DataConfig(root=str(tmp_path / "list.tsv")))
    assert found.labelled
    assert len(found.utterances) == 9
    assert found.suspicions[0].kind == "refused"
    assert "1 of its 9 files do not exist" in found.suspicions[0].what
    assert found.files is None


def test_a_list_of_values_needs_no_labels(small, tmp_path):
    root = shutil.copytree(small, tmp_path / "corpus")
    (root / "list.csv").write_text("path,arousal,speaker\nsad/ann1.wav,3,ann\nsad/bob1.wav,4,bob\n")
    found = read_for_a_look(DataConfig(root=str(root / "list.csv")))
    assert found.labelled
    assert kinds(found) == ["no_labels"]
    assert "--target.kind dimensions" in found.suspicions[0].remedy
    assert not found.suspicions[0].refused


def test_a_label_that_is_missing_is_told_and_the_others_are_kept(small, tmp_path):
    root = shutil.copytree(small, tmp_path / "corpus")
    (root / "list.csv").write_text("path,emotion\nsad/ann1.wav,sad\nsad/bob1.wav,\ncalm/ann1.wav,calm\n")
    found = read_for_a_look(DataConfig(root=str(root / "list.csv")))
    assert found.labels == ("", "calm", "sad")
    assert "(line 3: empty)" in found.suspicions[0].what


def test_a_list_that_cannot_be_read_leaves_the_files_beside_it(small, tmp_path):
    root = shutil.copytree(small, tmp_path / "corpus")
    (root / "list.csv").write_text("wrong,emotion\nsad/ann1.wav,sad\n")
    found = read_for_a_look(DataConfig(root=str(root / "list.csv")))
    assert not found.labelled
    assert len(found.utterances) == 8
    assert found.suspicions[0].refused
    found = read_for_a_look(DataConfig(root=str(root / "list.csv"), max_clips=3))
    assert len(found.utterances) == 3


def test_a_folder_in_itself_is_told(small, tmp_path):
    root = shutil.copytree(small, tmp_path / "corpus")
    shutil.copytree(small, root / "corpus")
    assert "folder_in_itself" in kinds(read_for_a_look(DataConfig(root=str(root))))


def test_sounds_that_are_left_out_are_told(tmp_path, noise):
    for folder in ("laryngo", "wav"):
        for n, name in enumerate(("03a01Wa", "03a01Fa", "08a01Wa", "08a01Fa")):
            noise(tmp_path / folder / f"{name}.wav", n, seconds=0.05)
    found = read_for_a_look(DataConfig(root=str(tmp_path)))
    told = next(one for one in found.suspicions if one.kind == "sounds_left_out")
    assert "4 of 8 sound files below the folder are not read (4 in " in told.what
    assert len(told.clips) == 4
    assert "sounds_left_out" not in kinds(read_for_a_look(DataConfig(root=str(tmp_path), max_clips=2)))


def test_a_recording_is_no_corpus(small):
    with pytest.raises(UserError, match="it is a recording; give the folder that holds it"):
        read_for_a_look(DataConfig(root=str(small / "sad" / "ann1.wav")))


def test_where_there_is_nothing_to_show_the_error_stays(tmp_path):
    with pytest.raises(UserError, match="there is no such folder or list"):
        read_for_a_look(DataConfig(root=str(tmp_path / "none")))
    with pytest.raises(UserError, match="there are no sound files below it"):
        read_for_a_look(DataConfig(root=str(tmp_path)))
    with pytest.raises(UserError, match="is rendered, not read"):
        read_for_a_look(DataConfig(root=str(tmp_path), corpus="synthetic"))
