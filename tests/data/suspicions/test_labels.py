"""Names of classes: what is no emotion is told, and names of emotions in any spelling are not."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.data.suspicions.labels import of_labels, spelled
from serjax.data.utterance import Utterance

EMOTIONS = (
    *("anger", "angry", "happy", "happiness", "joy", "sad", "sadness", "fear", "fearful", "disgust", "surprise"),
    *("neutral", "calm", "boredom", "excited", "frustrated", "contempt", "amused", "sleepy", "tired", "other"),
)


def told(*labels, counts=None):
    clips = [
        Utterance(f"{label}/{n}", Path(f"/c/{label}/{n}.wav"), label)
        for label in labels
        for n in range((counts or {}).get(label, 20))
    ]
    return list(of_labels(clips))


def kinds(*labels, counts=None):
    return [one.kind for one in told(*labels, counts=counts)]


@settings(max_examples=20)
@given(st.lists(st.sampled_from(EMOTIONS), min_size=2, unique=True), st.sampled_from((str, str.upper, str.title)))
def test_emotions_are_not_suspicious(labels, spelling):
    assert kinds(*map(spelling, labels)) == []
    assert kinds(*(str(i) for i in range(min(len(labels), 12)))) == []


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (("test_set", "train_set"), "parts_as_classes"),
        (("train", "test_clean"), "parts_as_classes"),
        (("Dev-1", "angry"), "parts_as_classes"),
        (("Actor_01", "Actor_02"), "speakers_as_classes"),
        (("speaker 3", "happy"), "speakers_as_classes"),
        (("S01", "S02", "F3"), "speakers_as_classes"),
        (tuple(f"{n:02d}" for n in range(1, 25)), "speakers_as_classes"),
        (("female", "male"), "sexes_as_classes"),
        (("RAVDESS", "EMO-DB"), "corpora_as_classes"),
        (("TESS Toronto emotional speech set data", "happy"), "corpora_as_classes"),
        (("OAF_angry", "OAF_Fear", "YAF_angry", "YAF_fear"), "two_things_in_a_class"),
        (("angry-high", "angry-low", "sad-high", "sad-low"), "two_things_in_a_class"),
        (("Angry", "angry", "sad"), "spellings"),
        (("Angry ", "Angry", "sad"), "spellings"),
        (("very sad", "very_sad", "calm"), "spellings"),
        (("\u00e9tonn\u00e9", unicodedata.normalize("NFD", "\u00e9tonn\u00e9"), "triste"), "spellings"),
        (("nan", "sad", "calm"), "missing_labels"),
        (("N/A", "sad", "calm"), "missing_labels"),
        (("None", "sad", "calm"), "missing_labels"),
    ],
)
def test_what_is_no_emotion_is_told_with_a_remedy(labels, kind):
    found = told(*labels)
    assert [one.kind for one in found] == [kind]
    assert found[0].what.endswith(".")
    assert found[0].remedy.endswith(".")


def test_clips_without_a_label_are_named():
    (found,) = told("sad", "calm", "NULL", "-1", counts={"NULL": 2, "-1": 1})
    assert found.clips == ("NULL/0", "NULL/1", "-1/0")
    assert found.what == "3 clips with a label that usually stands for a missing one: -1, NULL."


def test_a_rare_label_near_to_a_frequent_one_is_told():
    (found,) = told("Angry", "Angray", "sad", counts={"Angray": 3})
    assert found.what == "The class Angray (3 clips) is spelled nearly as Angry (20 clips)."
    assert kinds("Angry", "Angray", "sad") == []  # as frequent: a class of its own
    assert kinds("pleasant", "unpleasant", "sad", counts={"unpleasant": 2}) == []


@settings(max_examples=50)
@given(st.text(max_size=8))
def test_spellings_are_told_by_nothing_but_case_spaces_and_composition(label):
    assert spelled(spelled(label)) == spelled(label)
    assert spelled(f" {label} ") == spelled(label)
    assert spelled(unicodedata.normalize("NFD", label)) == spelled(unicodedata.normalize("NFC", label))
