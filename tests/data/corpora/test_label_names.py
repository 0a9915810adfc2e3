"""Names of classes: one spelling each, missing labels, and the label map."""

import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.data.config import DataConfig
from serjax.data.corpora.label_names import cleaned, folded, is_missing, read_label_map, settle_labels
from serjax.data.corpora.read import read_corpus
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError

FAULTS = Path(__file__).parents[3] / "../shared/faults"
needs_faults = pytest.mark.skipif(not FAULTS.is_dir(), reason="the inputs that failed are not here")
MUEDE = "müde"


def clips(*labels):
    return [Utterance(f"c{i}", Path(f"c{i}.wav"), label) for i, label in enumerate(labels)]


def settled(*labels, **options):
    found = settle_labels(clips(*labels), options.pop("order", ()), name="X", **options)
    return [clip.label for clip in found.utterances], found


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (("Angry", "Angry", "angry"), "Angry"),
        (("ANGRY", "Angry", "angry"), "angry"),
        (("Angry ", "Angry", "\u200bangry\u2060"), "Angry"),
        (("very  angry", "very\u00a0angry", "Very angry"), "very angry"),
        ((MUEDE, unicodedata.normalize("NFD", MUEDE), "\ufeffMüde"), MUEDE),
        (("\u202aangry\u202c", "angry\x00", "angry\n"), "angry"),
    ],
)
def test_spellings_of_a_class_are_one(labels, expected):
    found, result = settled(*labels, "sad")
    assert found == [expected] * 3 + ["sad"]
    assert "are one class" in result.notes[0]
    assert "sad" not in result.notes[0]


def test_a_single_spelling_is_cleaned_and_that_is_said():
    found, result = settled("sad\u200b", "joy")
    assert found == ["sad", "joy"]
    assert r"'sad\u200b' 1" in result.notes[0]
    assert not settled("sad", "joy")[1].notes


def test_the_corpus_and_the_user_decide_spellings():
    assert settled("Sad", "Sad", "sad", order=("sad",))[0] == ["sad"] * 3
    assert settled("Sad", "sad", "joy", wanted=("SAD", "joy"))[0] == ["SAD", "SAD", "joy"]
    assert settled("A", "a", wanted=("a", "A"))[0] == ["A", "a"]


@pytest.mark.parametrize(
    "labels",
    [
        ("A", "a"),
        ("Spaß", "spass"),
        ("ﬁne", "fine"),
        ("very-happy", "very_happy"),
        ("joy.", "joy"),
        ("'joy'", "joy"),
        ("\uff4aoy", "Joy"),
        ("1.0", "1"),
        ("01", "1"),
        ("FİKİR", "fikir"),
    ],
)
def test_what_may_be_one_or_several_is_asked(labels):
    with pytest.raises(UserError, match=r"one class or several; give each its name by --data\.label-map"):
        settled(*labels)
    if len(labels[0]) == 1:
        assert settled(*labels, mapping={"A": "anger", "a": "anxiety"}, path="m.json")[0] == ["anger", "anxiety"]


def test_of_classes_that_were_asked_for_one_by_one_no_other_spelling_is_guessed():
    assert settled("Sad", "sad", wanted=("Sad", "sad"))[0] == ["Sad", "sad"]
    with pytest.raises(UserError, match="whether SAD 1, Sad 1, sad 1 are one class"):
        settled("Sad", "sad", "SAD", wanted=("Sad", "sad"))


def test_votes_are_called_as_their_classes():
    clip = Utterance("a", Path("a"), "Sad", votes=(("Sad", 2.0), ("sad", 1.0), ("joy", 1.0)))
    found = settle_labels([clip, *clips("sad", "sad", "joy")], (), name="X")
    assert found.utterances[0].votes == (("sad", 3.0), ("joy", 1.0))


@pytest.mark.parametrize(
    "label", ["nan", "NaN ", "None", "null", "N/A", "<NA>", "-1", "", "\u200b", " ", "?", "Unknown"]
)
def test_usual_spellings_of_a_missing_label(label):
    assert is_missing(label)
    with pytest.raises(UserError, match=r"X: 1 of 2 clips have no label.*c1"):
        settled("sad", label)
    found, result = settled("sad", label, labelled=False)
    assert found == ["sad", ""]
    assert len(result.notes) == bool(label)


def test_labels_that_only_look_missing_are_taken_where_they_are_asked_for():
    assert settled("-1", "0", "1", wanted=("-1", "0", "1"), drop=True)[0] == ["-1", "0", "1"]
    assert settled("-1", "1", mapping={"-1": "bad", "1": "good"}, path="m")[0] == ["bad", "good"]
    assert settled("nan", "1", wanted=("1",), drop=True)[0] == ["nan", "1"]  # left out later, and said
    with pytest.raises(UserError, match="no label"):
        settled("", "1", wanted=("1",), drop=True)
    assert not any(map(is_missing, ("neutral", "0", "none of these", "nana")))


def test_a_map_is_read_in_any_spelling_of_its_keys():
    mapping = {"Angry": "anger", "SAD": "sadness", "sad": "sorrow"}
    assert settled("angry", "SAD", "sad", mapping=mapping, path="m")[0] == ["anger", "sadness", "sorrow"]
    with pytest.raises(UserError, match="m: the label Sad may be any of its entries SAD, sad"):
        settled("Sad", mapping=mapping, path="m")
    with pytest.raises(UserError, match="m: the label map has no entry for joy"):
        settled("joy", mapping=mapping, path="m")
    found, result = settled("joy", "angry", mapping=mapping, path="m", drop=True)
    assert found == ["anger"]
    assert result.notes[0].startswith("1 clips whose labels the map does not have")


@pytest.mark.parametrize(
    ("content", "message"),
    [('{"a": 1}', "none empty"), ('{"a": "\u200b"}', "none empty"), ("[]", "none empty"), ("{", "cannot be read")],
)
def test_maps_that_are_none(tmp_path, content, message):
    (tmp_path / "m.json").write_text(content)
    with pytest.raises(UserError, match=message):
        read_label_map(str(tmp_path / "m.json"))


@settings(max_examples=50)
@given(st.lists(st.text(max_size=6), min_size=1, max_size=5))
def test_any_labels_are_settled_or_refused(labels):
    try:
        found = settle_labels(clips(*labels), (), name="X").utterances
    except UserError as error:
        str(error).encode()
        return
    assert all(clip.label == cleaned(clip.label) for clip in found)
    assert len({folded(clip.label) for clip in found}) == len({clip.label for clip in found})


def read(root, **fields):
    return read_corpus(DataConfig(root=str(root), **fields), ask=False)


@needs_faults
def test_spellings_of_folders_and_lists_that_failed():
    corpus = read(FAULTS / "41_label_spellings/folders")
    assert Counter(clip.label for clip in corpus.utterances) == {"Angry": 9, "joy": 6, "Angray": 3, "Neutral": 3}
    assert any("are one class" in note and "'Angry ' 3" in note for note in corpus.notes)
    corpus = read(FAULTS / "41_label_spellings/list/list.tsv")
    assert Counter(clip.label for clip in corpus.utterances) == {"angry": 3, "joy": 3}


@needs_faults
@pytest.mark.parametrize("name", ["bom", "utf16", "plain"])
def test_maps_that_failed(name):
    faults = FAULTS / "54_bom_label_map"
    assert read(faults / "corpus", label_map=str(faults / f"{name}.json")).labels == (
        *("angry", "fröhlich", "neutral"),
        "sad",
    )
    with pytest.raises(UserError, match="the key anger is there twice"):
        read_label_map(str(faults / "twice.json"))


@needs_faults
@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("list.csv", "5 of 11 .*line 3: 'nan', line 5: 'None', line 8: 'NULL', line 10: 'N/A', line 12: '-1'"),
        ("empty.csv", "6 of 12 .*line 7: empty"),
        ("null.jsonl", "6 of 12 .*line 2: empty, line 4: empty"),
    ],
)
def test_missing_labels_that_failed(name, lines):
    with pytest.raises(UserError, match=lines):
        read(FAULTS / "58_empty_labels_as_text" / name)


@needs_faults
def test_missing_labels_that_are_asked_for_are_classes():
    corpus = read(FAULTS / "58_empty_labels_as_text/list.csv", labels=("anger", "neutral", "nan"))
    assert corpus.labels == ("anger", "neutral", "nan")


@pytest.mark.parametrize(
    "labels", [("-2", "2"), ("1", "10"), ("0.5", "5"), ("a-1", "a 1"), ("+", "-5"), ("no", "no-go")]
)
def test_labels_that_differ_by_more_are_several(labels):
    assert settled(*labels)[0] == list(labels)


@pytest.mark.parametrize(
    "label",
    [
        "#VALUE!",
        "TBD",
        "-99",
        "k.A.",
        "not annotated",
        "no_label",
        "(none)",
        "[]",
        "''",
        "—",
        "…",
        "<unk>",
        "N.A",
        "未知",
    ],
)
def test_more_spellings_of_a_missing_label(label):
    assert is_missing(label)
    assert not is_missing(label, (folded(label),))
    assert not any(map(is_missing, ("other", "+", "😀", "nano", "naïve", "none of these", "0", "-2")))


def test_a_map_to_a_missing_label_is_refused_unless_it_is_chosen():
    with pytest.raises(UserError, match="the label map gives nan, a usual spelling of no label"):
        settled("joy", "sad", mapping={"joy": "nan", "sad": "sad"}, path="map.json")
    assert settled("joy", "sad", mapping={"joy": "nan", "sad": "sad"}, wanted=("nan", "sad"))[0] == ["nan", "sad"]
