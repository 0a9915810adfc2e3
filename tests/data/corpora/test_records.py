"""Rows of sets: columns are found, cells checked."""

from pathlib import Path

import pytest

from serjax.data.corpora.records import Records, choose_columns, choose_splits, refuse_twice, utterance
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError

SET = Records("set", Path("cache"))


def test_columns_are_found_by_kind_and_by_name():
    names = ["wave", "label", "speaker_id", "values.tension", "votes.sad", "length"]
    columns, notes = choose_columns(names, ["wave"], SET)
    assert columns == {
        "path": "wave",
        "label": "label",
        "speaker": "speaker_id",
        "tension": "values.tension",
        "votes.sad": "votes.sad",
    }
    assert [note.split(":")[0] for note in notes] == ["By the names of the set's columns", "Columns not used"]


@pytest.mark.parametrize(
    ("names", "sounds", "columns", "message"),
    [
        (["label"], [], (), "--data.root set: no column holds sound; found label"),
        (["a", "b", "label"], ["a", "b"], (), "the sound may be in any of a, b; say which, as in .* path=a"),
        (["a", "kind"], ["a"], (), "--data.root set: no column holds the label; found a, kind. .*label=COLUMN"),
        (["a", "label", "spk", "actor"], ["a"], (), "the speaker may be in any of the columns spk, actor"),
        (["a", "label"], ["a"], ("label=lable",), "--data.root set has no column lable; it has label"),
    ],
)
def test_columns_that_cannot_be_told(names, sounds, columns, message):
    with pytest.raises(UserError, match=message):
        choose_columns(names, sounds, Records("set", Path("cache"), columns=columns))


def test_splits():
    assert choose_splits(["train"], SET) == (["train"], [])
    assert choose_splits(["train", "test"], SET)[0] == ["train", "test"]
    assert choose_splits(["train", "test"], Records("set", Path("cache"), split="test"))[0] == ["test"]
    with pytest.raises(UserError, match=r"--data.split dev: set has no such split; it has train, test\."):
        choose_splits(["train", "test"], Records("set", Path("cache"), split="dev"))


def test_a_row_becomes_a_clip():
    cells = {
        **{"label": b"sad", "speaker": 7.0, "session": "", "start": 0.5, "end": 2, "text": "It's OK!", "gender": "F"},
        **{"age": 31, "arousal": 3.5, "votes.sad": 2, "valence": float("nan")},
    }
    assert utterance(cells, "row 1", "train/1", Path("a.wav"), True) == Utterance(
        *("train/1", Path("a.wav"), "sad"),
        speaker="7",
        start=0.5,
        end=2.0,
        text="it s ok",
        attributes=(("gender", "female"), ("age", "30-39")),
        values=(("arousal", 3.5),),
        votes=(("sad", 2.0),),
    )


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"label": None}, "row 1: the label is empty"),
        ({"label": "x", "start": 2, "end": 1}, r"row 1: the stretch goes from 2 s to 1\.0 s"),
        ({"label": "x", "arousal": "high"}, "row 1: the arousal of name is 'high'"),
    ],
)
def test_rows_that_cannot_be_used(cells, message):
    with pytest.raises(UserError, match=message):
        utterance(cells, "row 1", "name", Path("a.wav"), True)
    assert utterance({"label": None}, "row 1", "name", Path("a.wav"), False).label == ""


def test_ids_are_of_one_clip_each():
    clips = [Utterance(name, Path("a.wav"), "x") for name in ("a", "b", "a")]
    refuse_twice(clips[:2], "set")
    with pytest.raises(UserError, match="several clips have the id a; give every clip one of its own"):
        refuse_twice(clips, "set")
