"""IEMOCAP: a tree of its form is read back; what is missing, malformed or incomplete is told."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serjax.data.config import DataConfig, FoldsConfig
from serjax.data.corpora.iemocap import CLASSES, EMOTIONS, SESSIONS, read_iemocap
from serjax.data.corpora.read import read_corpus
from serjax.data.folds.make import make_folds
from serjax.data.store.clips import open_store
from serjax.runtime.errors import UserError

REAL = Path(__file__).parents[3] / "../shared/data/IEMOCAP_full_release"
VOTES = "C-E2:\tNeutral;\t()\nC-F1:\tNeutral; Sadness\t(caf\xe9)\nA-E3:\tval 3; act 2; dom  2;\t()\n"


def evaluate(root, name, code):
    """Append an utterance's evaluation to its dialog's file, as published."""
    dialog = name.rpartition("_")[0]
    path = root / f"Session{name[4]}/dialog/EmoEvaluation/{dialog}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="latin-1") as file:
        if not file.tell():
            file.write("% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n")
        file.write(f"[6.2901 - 8.2357]\t{name}\t{code}\t[2.5000, 2.5000, 2.5000]\n{VOTES}\n")


def sound(root, name):
    """Return where an utterance's sound belongs."""
    path = root / f"Session{name[4]}/sentences/wav/{name.rpartition('_')[0]}/{name}.wav"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@pytest.fixture
def root(tmp_path):
    """Both speakers of every session utter all four classes and a word that was not agreed on."""
    rng = np.random.default_rng(0)
    for session in SESSIONS:
        for gender in "FM":
            for number, code in enumerate((*EMOTIONS, "xxx")):
                name = f"Ses0{session}F_script01_1_{gender}{number:03d}"
                evaluate(tmp_path, name, code)
                soundfile.write(sound(tmp_path, name), rng.uniform(-0.1, 0.1, 1600), 16_000)
    labels = tmp_path / "Session1/dialog/EmoEvaluation"
    (labels / "._Ses01F_script01_1.txt").write_bytes(b"\x00\x05\n[\xff")
    for folder in ("Attribute", "Categorical", "Self-evaluation"):
        (labels / folder).mkdir()
        (labels / folder / "Ses01F_script01_1_e2_cat.txt").write_text("[not for us]\n")
    (sound(tmp_path, "Ses01F_script01_1_F000").parent / "._Ses01F_script01_1_F000.wav").touch()
    return tmp_path


def read(root, **fields):
    return read_corpus(DataConfig(root=str(root), **fields))


names = st.builds(
    "Ses0{}{}_{}_{}{:03d}".format,
    st.integers(1, 5),
    st.sampled_from("FM"),
    st.sampled_from(("impro01", "script02_2", "script01_1b")),
    st.sampled_from("FM"),
    st.integers(0, 99),
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(turns=st.dictionaries(names, st.sampled_from((*EMOTIONS, "fru", "xxx", "sur", "oth")), max_size=12))
def test_what_is_written_comes_back(tmp_path_factory, turns):
    root = tmp_path_factory.mktemp("root")
    turns["Ses01F_impro07_M001"] = "exc"
    for name, code in turns.items():
        evaluate(root, name, code)
        if code in EMOTIONS:  # others need no sound
            sound(root, name).touch()
    clips, notes = read_iemocap(root)
    assert {clip.id: (clip.path, clip.label, clip.speaker, clip.session) for clip in clips} == {
        name: (sound(root, name), EMOTIONS[code], name[:5] + name.split("_")[-1][0], name[4])
        for name, code in turns.items()
        if code in EMOTIONS
    }
    assert [clip.path for clip in clips] == sorted(clip.path for clip in clips)
    left_out = len(turns) - len(clips)
    assert any(note.startswith(f"{left_out} utterances of other emotions are left out") for note in notes) == bool(
        left_out
    )


@pytest.mark.parametrize("corpus", ["auto", "iemocap"])
@pytest.mark.parametrize("inside", [False, True], ids=["itself", "the folder above"])
def test_it_is_recognised(root, tmp_path_factory, corpus, inside):
    if inside:
        above = tmp_path_factory.mktemp("above")
        root = root.rename(above / "IEMOCAP_full_release").parent
    found = read(root, corpus=corpus)
    assert (found.name, found.labels) == ("IEMOCAP", ("angry", "happy", "neutral", "sad"))
    assert Counter(clip.label for clip in found.utterances) == {"angry": 10, "happy": 20, "neutral": 10, "sad": 10}
    assert {clip.speaker for clip in found.utterances} == {f"Ses0{n}{g}" for n in SESSIONS for g in "FM"}
    assert found.notes == (
        "IEMOCAP by its folders: labels, speakers and sessions are read from dialog/EmoEvaluation; excited counts as "
        "happy.",
        "10 utterances of other emotions are left out (xxx 10).",
        "Of the 5531 utterances of IEMOCAP's four classes 50 were found: session 1 10 of 1085, session 2 10 of 1023, "
        "session 3 10 of 1151, session 4 10 of 1031, session 5 10 of 1241; angry 10 of 1103, happy 20 of 1636, "
        "neutral 10 of 1708, sad 10 of 1084.",
    )


def test_nothing_is_said_of_the_whole_corpus(tmp_path):
    codes = iter([code for code, n in (("ang", 1103), ("hap", 1000), ("exc", 636), ("neu", 1708), ("sad", 1084))
                  for _ in range(n)])  # fmt: skip
    for session, count in SESSIONS.items():
        for number in range(count):
            name = f"Ses0{session}F_impro01_F{number:04d}"
            evaluate(tmp_path, name, next(codes))
            sound(tmp_path, name).touch()
    clips, notes = read_iemocap(tmp_path)
    assert (len(clips), len(notes)) == (5531, 1)
    evaluate(tmp_path, "Ses05F_impro02_F000", "sad")
    sound(tmp_path, "Ses05F_impro02_F000").touch()
    assert "session 5 1242 of 1241" in read_iemocap(tmp_path)[1][-1]


def test_values_and_votes(root):
    clip = read(root).utterances[0]
    assert clip.values == (("valence", 2.5), ("arousal", 2.5), ("dominance", 2.5))
    # Of VOTES the actors' own and the values of each annotator do not count.
    assert clip.votes == (("neutral", 1.0),)
    path = root / "Session1/dialog/EmoEvaluation/Ses01F_script01_1.txt"
    text = path.read_text(encoding="latin-1")
    more = "C-E4:\tHappiness; Excited; Sadness;\t()\nC-E1:\tNeutral state; Other;\t(unsure)\n"
    path.write_text(text.replace(VOTES, VOTES + more), encoding="latin-1")
    votes = dict(read(root).utterances[0].votes)
    assert votes == pytest.approx({"happy": 2 / 3, "neutral": 1.5, "other": 0.5, "sad": 1 / 3})
    path.write_text(text.replace("[2.5000, 2.5000, 2.5000]", "[2.5000, -]"), encoding="latin-1")
    with pytest.raises(UserError, match=r"script01_1.txt:3: \[2.5000, -\] are not valence, activation and dominance"):
        read(root)


def test_seven_classes(root):
    for number, code in enumerate(("fru", "sur", "dis")):
        evaluate(root, f"Ses02F_impro01_M00{number}", code)
        sound(root, f"Ses02F_impro01_M00{number}").touch()
    found = read(root, corpus="iemocap7")
    assert found.labels == ("angry", "excited", "frustrated", "happy", "neutral", "sad", "surprised")
    assert Counter(clip.label for clip in found.utterances)["excited"] == 10
    assert "11 utterances of other emotions are left out (dis 1, xxx 10)." in found.notes
    assert not any("excited counts as happy" in note for note in found.notes)
    everything = read_corpus(DataConfig(root=str(root)), labelled=False)
    assert Counter(clip.label for clip in everything.utterances)["no agreement"] == 10
    assert len(everything.utterances) == 63


def test_leave_one_session_out(root):
    clips = read(root).utterances
    folds = make_folds(clips, FoldsConfig(kind="leave_session_out"), seed=0)
    assert [{clips[i].session for i in fold.test} for fold in folds] == [{n} for n in SESSIONS]
    for fold in folds:
        assert len(fold.test) == 10
        parts = [{clips[i].speaker for i in part} for part in (fold.train, fold.validation, fold.test)]
        assert sum(map(len, parts)) == len(set.union(*parts)) == 10


def test_classes_can_be_chosen_and_mapped(root, tmp_path_factory):
    assert len(read(root, labels=("sad", "happy")).utterances) == 30
    path = tmp_path_factory.mktemp("map") / "map.json"
    path.write_text('{"angry": "negative", "sad": "negative", "happy": "positive", "neutral": "rest"}')
    assert read(root, label_map=str(path)).labels == ("negative", "positive", "rest")


def test_missing_sounds_are_told_or_skipped(root, tmp_path_factory):
    sound(root, "Ses02F_script01_1_M003").unlink()
    with pytest.raises(UserError, match=r"1 of 50 evaluated utterances have no file in sentences/wav \(Ses02F_script0"):
        read(root)
    found = read(root, skip_bad=True)
    store = open_store(found.utterances, tmp_path_factory.mktemp("clips"), skip_bad=True)
    assert len(store) == 49
    assert "Ses02F_script01_1_M003.wav" in store.skipped[0]
    for path in root.glob("Session?/sentences/wav/*/*.wav"):
        path.unlink()
    with pytest.raises(UserError, match="50 of 50 evaluated utterances have no file"):
        read(root, skip_bad=True)


def rename(root, old, new):
    (root / old).rename(root / new)


def write(root, line):
    (root / "Session3/dialog/EmoEvaluation/Ses03M_impro01.txt").write_text(line)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda root: rename(root, "Session4/dialog", "Session4/old"),
            "there is no dialog/EmoEvaluation in Session4; ",
        ),
        (lambda root: write(root, "\n[1.0 - 2.0]\tSes03M_impro01_F000\n"), r"Ses03M_impro01.txt:2: '\[1.0 - 2.0\]"),
        (lambda root: write(root, "[1.0 - 2.0]\tSes03M_impro01_X000\tneu\n"), "Ses03M_impro01.txt:1: .* is no evalua"),
        (
            lambda root: write(root, "[1.0 - 2.0]\tSes03F_script01_1_F000\tneu\n"),
            "impro01.txt:1: Ses03F_script01_1_F000 is evaluated a second time",
        ),
    ],
)
def test_a_tree_that_is_not_whole_is_told(root, spoil, message):
    spoil(root)
    with pytest.raises(UserError, match=message):
        read(root)


def test_what_is_no_iemocap_is_told(tmp_path):
    with pytest.raises(UserError, match="there is none of IEMOCAP's folders Session1 to Session5 in it"):
        read(tmp_path, corpus="iemocap")
    evaluate(tmp_path, "Ses01F_impro01_F000", "xxx")
    with pytest.raises(UserError, match="no utterance is evaluated as ang, exc, hap, neu, sad"):
        read(tmp_path)


def test_video_is_not_read(root):
    with pytest.raises(UserError, match="of IEMOCAP sound alone is read"):
        read_corpus(DataConfig(root=str(root)), videos=True)


@pytest.mark.skipif(not REAL.is_dir(), reason="IEMOCAP is not here")
def test_the_real_iemocap():
    found = read(REAL)
    assert Counter(clip.session for clip in found.utterances) == SESSIONS
    assert Counter(clip.label for clip in found.utterances) == CLASSES
    assert not any(note.startswith("Of the 5531") for note in found.notes)
