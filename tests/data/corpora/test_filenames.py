"""Rows of corpora: names are read field by field, and other names are none of them."""

from pathlib import PurePosixPath
from typing import get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serjax.data.config import DataConfig
from serjax.data.corpora.filenames import LAYOUTS, RAVDESS_EMOTIONS, VARIANTS, sentence_of, tail_of, text_of

fields = st.tuples(*(st.integers(1, top) for top in (3, 2, 8, 2, 2, 2, 24)))


@given(fields)
def test_ravdess_names_are_read_field_by_field(numbers):
    modality, channel, emotion, _, statement, _, actor = numbers
    name = LAYOUTS["ravdess"].parse("-".join(f"{number:02d}" for number in numbers))
    assert (name.modality, name.channel) == (f"{modality:02d}", f"{channel:02d}")
    assert (name.emotion, name.speaker) == (RAVDESS_EMOTIONS[emotion - 1], f"{actor:02d}")
    assert name.text == ("Kids are talking by the door", "Dogs are sitting by the door")[statement - 1]
    assert LAYOUTS["ravdess"].people[name.speaker][0] == {1: "male", 0: "female"}[actor % 2]


@given(fields, fields)
def test_recordings_are_told_apart_by_all_fields_but_the_modality(one, other):
    keys = [LAYOUTS["ravdess"].parse("-".join(f"{number:02d}" for number in numbers)).key for numbers in (one, other)]
    assert (keys[0] == keys[1]) == (one[1:] == other[1:])


@given(fields, st.integers(0, 6), st.sampled_from((0, 25, 99)))
def test_ravdess_numbers_out_of_range_are_no_ravdess_name(numbers, place, wrong):
    changed = [*numbers[:place], wrong, *numbers[place + 1 :]]
    assert LAYOUTS["ravdess"].parse("-".join(f"{number:02d}" for number in changed)) is None


@pytest.mark.parametrize(
    ("kind", "tail", "speaker", "emotion", "text"),
    [
        ("emodb", "wav/03a01Wa", "03", "anger", "a01"),
        ("emodb", "16b10Lb", "16", "boredom", "b10"),
        ("cremad", "1040_ITH_SAD_X", "1040", "sad", "ITH"),
        ("savee", "DC_sa01", "DC", "sadness", "sa01"),
        ("savee", "AudioData/KL/su5", "KL", "surprise", "su05"),
        ("nemo", "SB11_surprised_90", "SB11", "surprised", "90"),
        ("tess", "OA_bite_neutral", "OAF", "neutral", "bite"),
        ("tess", "YAF_Pleasant_surprise/YAF_back_ps", "YAF", "pleasant_surprise", "back"),
        ("esd", "0020/Surprise/0020_001750", "0020", "surprise", "en350"),
        ("urdu", "Happy/SM27_F5_H016", "SM27", "happy", None),
        ("emovo", "f2/gio-f2-b2", "f2", "joy", "b2"),
        ("aesdd", "fear/f18 (5)b", "5", "fear", "18"),
        ("cafe", "Peur/Fort/12-P-2-5", "12", "fear", "5"),
        ("jl", "female2_encouraging_10a_1", "female2", "encouraging", "10"),
        ("subesco", "F_02_MONIKA_S_1_SURPRISE_5]", "F_02", "surprise", "1"),
        ("shemo", "female/F24W01", "F24", "surprise", None),
        ("emovdb", "bea/Disgusted/disgust_29-56_0033", "bea", "disgusted", "0033"),
    ],
)
def test_names(kind, tail, speaker, emotion, text):
    name = LAYOUTS[kind].parse(tail)
    assert (name.speaker, name.emotion, name.text) == (speaker, emotion, text)
    assert [other for other, layout in LAYOUTS.items() if layout.parse(tail)] == [kind]


@pytest.mark.parametrize(
    ("kind", "tails"),
    [
        ("cremad", ["1001_DFA_ANG_XX_224", "2001_DFA_ANG_XX", "1001_DFA_BOR_XX", "1001_dfaa_ANG_XX"]),
        ("savee", ["DC_s01", "XX_a01", "DC_a001", "dcc_a01", "a01", "DC_a"]),
        ("nemo", ["EB0_bored_1", "EB_anger_1", "E0_anger_1", "EB0_anger", "EB0_anger_x"]),
        ("jl", ["female3_angry_1a_1", "male1_bored_1a_1", "male1_angry_1c_1"]),
        ("esd", ["0011_000351", "0011/Angry/0012_000351", "0021/Angry/0021_000351"]),
        ("tess", ["OAF_bar_calm", "TAF_bar_sad", "OAF_Sad/bar"]),
    ],
)
def test_other_names_are_none_of_a_corpus(kind, tails):
    assert [tail for tail in tails if LAYOUTS[kind].parse(tail)] == []


@given(st.text(max_size=9))
def test_no_text_is_an_error(text):
    for layout in LAYOUTS.values():
        layout.parse(text)


def test_the_end_of_a_path():
    assert tail_of(PurePosixPath("/data/ESD/0011/Angry/train/0011_000351.wav")) == "0011/Angry/train/0011_000351"
    assert tail_of(PurePosixPath("a.b.wav")) == "a.b"


def test_texts_of_names():
    stems = ("03-01-01-01-02-01-12", "03a01Wa", "1001_DFA_ANG_XX", "EB0_anger_7", "DC_sa01", "other")
    assert [text_of(stem) for stem in stems] == ["Dogs are sitting by the door", "a01", "DFA", "7", None, None]
    assert [sentence_of(stem) for stem in stems[3:]] == ["7", "sa01", None]


def test_every_row_is_a_word_of_the_option():
    words = get_args(get_type_hints(DataConfig)["corpus"])
    assert {*LAYOUTS, *VARIANTS} <= set(words)
    assert set(VARIANTS.values()) <= set(LAYOUTS)


@pytest.mark.parametrize(
    ("kind", "tail", "speaker"),
    [
        ("emodb", "03A01WA", "03"),
        ("cremad", "1001_dfa_ang_xx", "1001"),
        ("savee", "dc/Sa01", "DC"),
        ("tess", "oaf_back_ANGRY", "OAF"),
        ("tess", "oa_bar_fear", "OAF"),
        ("esd", "0001/angry/0001_000351", "0001"),
        ("emovo", "RAB-F1-B1", "f1"),
    ],
)
def test_copies_that_were_renamed_to_another_case(kind, tail, speaker):
    layout = LAYOUTS[kind]
    found = layout.parse(tail)
    assert found.speaker == speaker
    assert found.emotion in layout.emotions.values()
    assert found.key == layout.parse(tail.swapcase()).key
