"""Attributes of speakers: spellings of genders, bands of ages, sentences, and tables that corpora come with."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serjax.data.corpora.attributes import age_band, gender_of, plain_text, read_people, shared
from serjax.data.corpora.filenames import sentence_of
from serjax.runtime.errors import UserError


@pytest.mark.parametrize(
    ("written", "gender"),
    [("F", "female"), (" Male ", "male"), ("w", "female"), ("male_masculine", "male"), ("Non-Binary", "non-binary")],
)
def test_usual_spellings_of_a_gender_are_one(written, gender):
    assert gender_of(written) == gender


@given(st.integers(0, 129))
def test_an_age_lies_in_its_band(years):
    least, most = map(int, age_band(f"{years}.0", "the age").split("-"))
    assert least <= years <= most
    assert most - least == 9
    assert least % 10 == 0


def test_words_for_ages_are_kept_and_empty_cells_are_unknown():
    assert age_band("Twenties", "the age") == "twenties"
    assert [age_band("", "the age"), age_band("nan", "the age"), gender_of(" ")] == [None] * 3
    with pytest.raises(UserError, match=r"^list:3: the age is 1984; give years from 0 to 130, or leave the cell empty"):
        age_band("1984", "list:3: the age")


@given(st.sampled_from(["female", None]), st.sampled_from(["20-29", None]))
def test_attributes_are_one_object_for_all_clips(gender, age):
    assert shared(gender, age) is shared(gender, age)
    assert dict(shared(gender, age)) == {k: v for k, v in {"gender": gender, "age": age}.items() if v}


def test_spellings_of_one_sentence_are_equal():
    assert plain_text("Kids are talking, by the door!") == plain_text(" kids are  talking by the door")
    assert plain_text("...") == "..."
    assert plain_text(" ") is None


def test_sentences_in_names():
    assert sentence_of("03-01-06-01-02-01-12") == "Dogs are sitting by the door"
    assert [sentence_of(name) for name in ("03a01Wa", "1001_DFA_ANG_XX", "EB0_anger_7", "DC_sa1", "JK_sa01", "x")] == [
        *("a01", "DFA", "7", "sa01", "sa01"),
        None,
    ]


def test_speakers_that_are_documented(tmp_path):
    ravdess = read_people(tmp_path, "ravdess").known
    assert (ravdess["01"], ravdess["24"], len(ravdess)) == ((("gender", "male"),), (("gender", "female"),), 24)
    emodb = read_people(tmp_path, "emodb").known
    assert sorted(dict(one)["gender"] for one in emodb.values()) == ["female"] * 5 + ["male"] * 5
    assert emodb["09"] == (("gender", "female"), ("age", "20-29"))
    assert set(read_people(tmp_path, "savee").known.values()) == {(("gender", "male"),)}


def test_tables_beside_or_in_a_corpus(tmp_path):
    root = tmp_path / "AudioWAV"
    root.mkdir()
    assert read_people(root, "cremad") == ({}, ())
    table = tmp_path / "VideoDemographics.csv"
    table.write_text("ActorID,Age,Sex,Race,Ethnicity\n1001,51,Male,Caucasian,Not Hispanic\n1002,21,Female,,\n")
    known, notes = read_people(root, "cremad")
    assert known == {"1001": (("gender", "male"), ("age", "50-59")), "1002": (("gender", "female"), ("age", "20-29"))}
    assert notes == ("Gender and age of speakers are read from VideoDemographics.csv.",)
    (root / "data.tsv").write_text(
        "file_id\temotion\traw_text\tspeaker_id\tsex\tage\nEB0_anger_1\tanger\tTak.\tEB0\tfemale\t24\n"
    )
    assert read_people(root, "nemo").known == {"EB0": (("gender", "female"), ("age", "20-29"))}
    table.write_text("ActorID,Race\n1001,Caucasian\n")
    assert read_people(root, "cremad").notes == (
        "VideoDemographics.csv has no columns sex, gender or age, so nothing of the speakers is read from it.",
    )
    table.write_text("Speaker,Sex,Age\n1001,Male,51\n")
    assert read_people(root, "cremad").notes == (
        "VideoDemographics.csv has no column actorid, so nothing of the speakers is read from it.",
    )
    (root / "data.tsv").write_text("file_id\tspeaker_id\tgender\nEB0_anger_1\tEB0\tm\n")
    gender = read_people(root, "nemo")
    assert gender == ({"EB0": (("gender", "male"),)}, ("Gender of speakers is read from data.tsv.",))
    table.write_bytes("ActorID,Sex\n1,weiß\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"VideoDemographics\.csv:2: the table of speakers is not UTF-8 text"):
        read_people(root, "cremad")
