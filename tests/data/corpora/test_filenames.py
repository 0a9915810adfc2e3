"""File names of RAVDESS, EMO-DB, CREMA-D, SAVEE and nEMO."""

from hypothesis import given
from hypothesis import strategies as st

from serjax.data.corpora.filenames import (
    CREMAD_EMOTIONS,
    EMODB_EMOTIONS,
    NEMO_EMOTIONS,
    RAVDESS_EMOTIONS,
    SAVEE_EMOTIONS,
    CremadName,
    EmodbName,
    NemoName,
    RavdessName,
    SaveeName,
    parse_cremad,
    parse_emodb,
    parse_nemo,
    parse_ravdess,
    parse_savee,
    text_of,
)

fields = st.tuples(*(st.integers(1, top) for top in (3, 2, 8, 2, 2, 2, 24)))


@given(fields)
def test_ravdess_names_are_read_field_by_field(numbers):
    modality, channel, emotion, intensity, statement, repetition, actor = numbers
    name = parse_ravdess("-".join(f"{number:02d}" for number in numbers))
    assert name == RavdessName(
        modality={1: "full", 2: "video", 3: "audio"}[modality],
        vocal_channel={1: "speech", 2: "song"}[channel],
        emotion=RAVDESS_EMOTIONS[emotion - 1],
        intensity={1: "normal", 2: "strong"}[intensity],
        statement={1: "Kids are talking by the door", 2: "Dogs are sitting by the door"}[statement],
        repetition=repetition,
        actor=f"{actor:02d}",
        sex={1: "male", 0: "female"}[actor % 2],
    )


@given(fields, st.integers(0, 6), st.sampled_from((0, 25, 99)))
def test_ravdess_numbers_out_of_range_are_no_ravdess_name(numbers, place, wrong):
    changed = [*numbers[:place], wrong, *numbers[place + 1 :]]
    assert parse_ravdess("-".join(f"{number:02d}" for number in changed)) is None


def test_emodb_names():
    assert parse_emodb("03a01Wa") == EmodbName(speaker="03", text="a01", emotion="anger", version="a")
    assert [parse_emodb(f"16b10{letter}b").emotion for letter in "WLEAFTN"] == list(EMODB_EMOTIONS.values())


def test_cremad_names():
    assert parse_cremad("1040_ITH_SAD_X") == CremadName(speaker="1040", text="ITH", emotion="sad", intensity="X")
    names = [parse_cremad(f"1091_DFA_{code}_{level}") for code in CREMAD_EMOTIONS for level in ("LO", "MD", "HI", "XX")]
    assert [name.emotion for name in names[::4]] == list(CREMAD_EMOTIONS.values())
    assert [name.intensity for name in names[:4]] == ["LO", "MD", "HI", "XX"]
    for stem in ("1001_DFA_ANG_XX_224", "2001_DFA_ANG_XX", "1001_DFA_BOR_XX", "1001_dfa_ANG_XX"):
        assert parse_cremad(stem) is None


def test_savee_names():
    assert parse_savee("DC_sa01") == SaveeName(speaker="DC", emotion="sadness", number=1)
    assert [parse_savee(f"KL_{code}15").emotion for code in SAVEE_EMOTIONS] == list(SAVEE_EMOTIONS.values())
    for stem in ("DC_s01", "XX_a01", "DC_a001", "dc_a01", "a01", "DC_a"):
        assert parse_savee(stem) is None


def test_nemo_names():
    assert parse_nemo("EB0_anger_1") == NemoName(speaker="EB0", emotion="anger", text="1")
    assert [parse_nemo(f"SB11_{name}_90").emotion for name in NEMO_EMOTIONS] == list(NEMO_EMOTIONS)
    for stem in ("EB0_bored_1", "EB_anger_1", "E0_anger_1", "EB0_anger", "EB0_anger_x"):
        assert parse_nemo(stem) is None


def test_texts_of_names():
    stems = ("03-01-01-01-02-01-12", "03a01Wa", "1001_DFA_ANG_XX", "EB0_anger_7", "DC_sa01", "other")
    assert [text_of(stem) for stem in stems] == ["Dogs are sitting by the door", "a01", "DFA", "7", None, None]


@given(st.text(max_size=9))
def test_other_names_are_neither(stem):
    assert parse_ravdess(stem) is None  # a RAVDESS name has 20 characters
    assert parse_emodb(stem + "x" * 8) is None
    assert parse_cremad(stem) is None
