"""Columns of a list: given, called as what they hold, or known by a usual name; what is not used is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serjax.data.corpora.columns import FIELDS, find_columns, is_header, parse_columns, plain, unused
from serjax.runtime.errors import UserError

NEMO = ["file_id", "emotion", "raw_text", "normalized_text", "speaker_id", "sex", "age"]


def test_those_of_nemo_are_known_and_said():
    places, notes = find_columns(NEMO, {}, "data.tsv:1")
    assert places == {"path": 0, "label": 1, "speaker": 4, "gender": 5, "age": 6}
    assert notes == [
        "By the names of the list's columns: file_id is the path, emotion is the label, speaker_id is the speaker, sex "
        "is the gender.",
        "Columns not used: raw_text, normalized_text.",
    ]


@given(st.sampled_from(list(FIELDS)).flatmap(lambda field: st.tuples(st.just(field), st.sampled_from(FIELDS[field]))))
def test_every_known_name_is_taken_in_any_spelling(known):
    field, name = known
    header = ["path", "label"] if field not in ("path", "label") else ["label" if field == "path" else "path"]
    places, _ = find_columns([*header, name.title()], {}, "list:1")
    assert places[field] == len(header)
    assert plain(f"{name[0].upper()}-{name[1:]}_") == name


def test_what_is_given_wins_and_what_is_called_so_comes_before_what_is_known():
    header = ["path", "file", "label", "emotion", "speaker", "actor"]
    places, notes = find_columns(header, {}, "list:1")
    assert places == {"path": 0, "label": 2, "speaker": 4}
    assert notes == ["Columns not used: file, emotion, actor."]
    places, _ = find_columns(header, parse_columns(["label=emotion", "path=file"]), "list:1")
    assert places == {"path": 1, "label": 3, "speaker": 4}


def test_a_split_is_named_with_what_to_do():
    assert unused(["age", "Split"]) == [
        "Columns not used: age, Split. Folds are made anew, whatever Split says; --folds.kind files reads given ones."
    ]
    assert unused([]) == []


@pytest.mark.parametrize(
    ("header", "given", "message"),
    [
        (
            ["file", "label", "actor", "subject"],
            (),
            "the speaker may be in any of the columns actor, subject; say which",
        ),
        (["file", "wav", "label"], (), "the path may be in any of the columns file, wav; say which, as in --data.col"),
        (["file", "emotion", "class"], (), "the label may be in any of the columns emotion, class"),
        (
            ["file", "feeling"],
            (),
            "no column holds the label; found file, feeling. Name it, as in --data.columns label=",
        ),
        (
            ["file", "label"],
            ("speaker=who",),
            "--data.columns speaker=who: list:1 has no column who; it has file, label",
        ),
        (["file", "label", "file"], (), "list:1: two columns are called file; rename one of them"),
        (["file"], ("path",), "--data.columns path: give each of path, label, id, .*; path is none of them"),
        (["file"], ("speeker=file",), "speeker looks like speaker"),
        (["file"], ("votes.=file",), "votes.=file is none of them"),
        (["file"], ("path=file", "path=x"), "path stands there twice"),
    ],
)
def test_what_cannot_be_told_is_asked(header, given, message):
    with pytest.raises(UserError, match=message):
        find_columns(header, parse_columns(given), "list:1")


def test_a_first_line_of_a_clip_is_no_header():
    assert is_header(NEMO, {})
    assert is_header(["a", "b"], {"path": "a"})
    assert not is_header(["samples/emotion.wav", "sad"], {})
    assert not is_header(["path", "sad"], {})
    assert find_columns(["file", "speaker"], {}, "list:1", labelled=False)[0] == {"path": 0, "speaker": 1}
