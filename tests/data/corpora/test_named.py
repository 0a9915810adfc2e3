"""Corpora told by their paths: small trees of the published forms, copies, and the real ones where they are."""

import pathlib
from collections import Counter

import pytest
from empty_files import fill

from serjax.data.config import DataConfig
from serjax.data.corpora.read import read_corpus
from serjax.runtime.errors import UserError


def read(root, **fields):
    return read_corpus(DataConfig(root=str(root), **fields))


SAVEE = {
    who: [f"{code}{n:02d}" for code in ("a", "d", "f", "h", "n", "sa", "su") for n in (1, 2)] for who in ("DC", "KL")
}


@pytest.mark.parametrize(
    "layout", ["{0}_{1}.wav", "ALL/{0}_{1}.wav", "AudioData/{0}/{1}.wav", "SAVEE/AudioData/{0}/{0}_{1}.wav"]
)
@pytest.mark.parametrize("corpus", ["auto", "savee"])
def test_savee_by_its_names(tmp_path, layout, corpus):
    fill(tmp_path, *(layout.format(who, name) for who, names in SAVEE.items() for name in names))
    found = read(tmp_path, corpus=corpus)
    assert found.name == "SAVEE"
    assert found.labels == ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
    assert Counter(clip.speaker for clip in found.utterances) == {"DC": 14, "KL": 14}
    assert set(Counter(clip.label for clip in found.utterances).values()) == {4}
    assert len({clip.id for clip in found.utterances}) == 28


def test_nemo_by_its_names(tmp_path):
    emotions = ("anger", "fear", "happiness", "neutral", "sadness", "surprised")
    fill(tmp_path, *(f"samples/{who}_{name}_{n}.wav" for who in ("EB0", "SB11") for name in emotions for n in (1, 90)))
    found = read(tmp_path)
    assert (found.name, found.labels) == ("nEMO", emotions)
    assert Counter(clip.speaker for clip in found.utterances) == {"EB0": 12, "SB11": 12}


RAVDESS = tuple(f"03-0{c}-0{e}-01-01-01-{a:02d}" for c in (1, 2) for e in range(1, 9) for a in (1, 2, 24))


def test_duplicate_ravdess_files_are_left_out(tmp_path):
    fill(tmp_path, *(f"{top}Actor_{name[-2:]}/{name}.wav" for top in ("", "audio_speech/") for name in RAVDESS))
    found = read(tmp_path)
    assert sorted(clip.path.stem for clip in found.utterances) == sorted(name for name in RAVDESS if name[4] == "1")
    assert all(clip.id.startswith("Actor_") for clip in found.utterances)
    assert f"{len(RAVDESS) // 2} files that are copies of others are left out." in found.notes
    assert f"{len(RAVDESS)} songs are left out; --data.corpus ravdess_song or ravdess_all reads them." in found.notes
    copy = tmp_path / "audio_speech/Actor_02/03-01-02-01-01-01-02.wav"
    copy.write_bytes(b"louder")
    with pytest.raises(UserError, match="1 recordings of RAVDESS are there twice and differ") as caught:
        read(tmp_path)
    assert f"--data.root {tmp_path / 'Actor_02'} or {tmp_path / 'audio_speech'}, or move" in str(caught.value)


EMODB = ("03a01Wa", "03a01Fa", "08b10Wb", "08b10Na", "08a02Fc", "16a02Nb")


def test_emodb_in_class_folders_takes_labels_from_them(tmp_path):
    folders = {"W": "anger", "F": "happy", "N": "neutral"}
    fill(tmp_path, *(f"{folders[name[5]]}/{name}.wav" for name in EMODB))
    found = read(tmp_path)
    assert found.labels == ("anger", "happy", "neutral")
    assert {(clip.speaker, clip.label) for clip in found.utterances} == {(n[:2], folders[n[5]]) for n in EMODB}
    assert (
        found.notes[0] == "EMO-DB by its file names: labels are the folders' names, speakers are read from the names."
    )
    assert read(tmp_path, corpus="emodb").labels == ("anger", "happiness", "neutral")
    assert {clip.speaker for clip in read(tmp_path, corpus="folder").utterances} == {None}


def test_emodb_in_merged_class_folders(tmp_path):
    fill(tmp_path, *(f"{'calm' if name[5] == 'N' else 'aroused'}/{name}.wav" for name in EMODB))
    assert read(tmp_path).labels == ("aroused", "calm")


@pytest.mark.parametrize("layout", ["{0}.wav", "wav/{0}.wav", "{1}/{0}.wav"])
def test_emodb_in_speaker_folders_takes_labels_from_names(tmp_path, layout):
    fill(tmp_path, *(layout.format(name, name[:2]) for name in EMODB))
    found = read(tmp_path)
    assert found.labels == ("anger", "happiness", "neutral")
    assert Counter(clip.speaker for clip in found.utterances) == Counter(name[:2] for name in EMODB)


def test_the_sound_of_a_video_and_the_sound_alone_are_one_recording(tmp_path):
    fill(tmp_path, *(f"{m}-01-0{e}-01-01-01-{a:02d}.wav" for m in ("01", "03") for e in (3, 4) for a in (1, 2)))
    found = read(tmp_path)
    assert {clip.id[:2] for clip in found.utterances} == {"03"}
    assert "4 files that are the sound of videos (01-) are left out, as 03- is the same recording." in found.notes


def test_songs_alone_are_read_and_told(tmp_path):
    fill(tmp_path, *(f"03-02-0{e}-01-01-01-01.wav" for e in (3, 4)))
    assert "The 2 clips are sung, not spoken." in read(tmp_path).notes
    with pytest.raises(UserError, match="there is no song of RAVDESS"):
        read(fill(tmp_path / "speech", "03-01-03-01-01-01-01.wav", "03-01-04-01-01-01-01.wav"), corpus="ravdess_song")


LARYNGO = pathlib.Path(__file__).parents[3] / "../shared/faults/29_emodb2_laryngo"


@pytest.mark.parametrize("corpus", ["auto", "emodb"])
def test_the_speech_of_emodb_2_wins_over_its_laryngograms(tmp_path, corpus):
    fill(tmp_path, *(f"{folder}/{name}.wav" for folder in ("laryngo", "wav", "labsilb") for name in EMODB[:4]))
    (tmp_path / "wav/03a01Wa.wav").write_bytes(b"speech")
    for path in (tmp_path / "labsilb").iterdir():
        path.rename(path.with_suffix(".lab"))
    found = read(tmp_path, corpus=corpus)
    assert {clip.path.parent.name for clip in found.utterances} == {"wav"}
    assert "4 files in laryngo are left out, as the corpus has the speech elsewhere." in found.notes
    assert len(read(tmp_path / "laryngo").utterances) == 4


@pytest.mark.skipif(not LARYNGO.is_dir(), reason="the inputs that failed are not here")
def test_laryngograms_that_failed():
    found = read(LARYNGO)
    assert {clip.path.parent.name for clip in found.utterances} == {"wav"}
    assert Counter(clip.label for clip in found.utterances) == dict.fromkeys(found.labels, 10)


def test_one_voice_a_clip_of_cremad(tmp_path):
    names = [f"10{n:02d}_DFA_{code}_XX" for n in (1, 2) for code in ("ANG", "SAD")]
    fill(tmp_path, *(f"AudioMP3/{n}.mp3" for n in names), *(f"AudioWAV/{n}.wav" for n in names))
    found = read(tmp_path)
    assert {clip.path.suffix for clip in found.utterances} == {".wav"}
    assert "4 files in AudioMP3 are left out, as the corpus has the speech elsewhere." in found.notes


TREES = {
    "tess": (
        [
            *(f"TESS/{w}_{f}/{w}_{t}_{c}.wav" for w in ("OAF", "YAF") for t in ("back", "bar") for f, c in (
                ("angry", "angry"), ("disgust", "disgust"), ("Fear", "fear"), ("happy", "happy"),
                ("neutral", "neutral"), ("Pleasant_surprise", "ps"), ("Sad", "sad"))),
            "TESS/OAF_neutral/OA_bite_neutral.wav",
        ],
        ("TESS", ("angry", "disgust", "fear", "happy", "neutral", "pleasant_surprise", "sad"), {"OAF", "YAF"}),
    ),
    "esd": (
        [f"{s}/{e}/{s}_{350 * k + 7:06d}.wav" for s in ("0001", "0011")
         for k, e in enumerate(("Neutral", "Angry", "Happy", "Sad", "Surprise"))],
        ("ESD", ("angry", "happy", "neutral", "sad", "surprise"), {"0001", "0011"}),
    ),
    "urdu": (
        [f"{e}/S{s}_F{n}_{e[0]}0{n}.wav" for e in ("Angry", "Happy", "Neutral", "Sad") for s in ("M1", "F2")
         for n in (1, 12)],
        ("URDU", ("angry", "happy", "neutral", "sad"), {"SM1", "SF2"}),
    ),
    "emovo": (
        [f"EMOVO/{s}/{e}-{s}-{t}.wav" for s in ("f1", "m3") for t in ("b1", "d2", "n5")
         for e in ("dis", "gio", "neu", "pau", "rab", "sor", "tri")],
        ("EMOVO", ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise"), {"f1", "m3"}),
    ),
    "aesdd": (
        [f"{e}/{e[0]}{t:02d} ({s}).wav" for e in ("anger", "disgust", "fear", "happiness", "sadness")
         for t in (1, 20) for s in (1, 5)] + ["sadness/s01 (5)b.wav", "fear/f10 (01).wav"],
        ("AESDD", ("anger", "disgust", "fear", "happiness", "sadness"), {"1", "5"}),
    ),
    "cafe": (
        [f"CaFE_48k/{f}/{level}{s}-{f[0]}-{i}-{t}.wav" for f in ("Col\xe8re", "Joie", "Neutre", "Peur", "Tristesse")
         for i, level in ((1, "Faible/"), (2, "Fort/")) for s in ("01", "12") for t in (1, 6)],
        ("CaFE", ("anger", "fear", "happiness", "neutral", "sadness"), {"01", "12"}),
    ),
    "jl": (
        [f"Raw/JL(wav+txt)/{s}_{e}_{t}{h}_{n}.wav" for s in ("female1", "male2")
         for e in ("angry", "anxious", "excited") for t in (1, 15) for h in "ab" for n in (1, 2)],
        ("JL-Corpus", ("angry", "anxious", "excited"), {"female1", "male2"}),
    ),
    "subesco": (
        [f"{s}_S_{t}_{e}_{n}.wav" for s in ("F_02_MONIKA", "M_05_DURANTO") for e in ("ANGRY", "SURPRISE", "FEAR")
         for t in (1, 10) for n in (1, 5)],
        ("SUBESCO", ("angry", "fear", "surprise"), {"F_02", "M_05"}),
    ),
    "shemo": (
        [f"{g}/{g[0].upper()}{n}{e}{t:02d}.wav" for g in ("female", "male") for n in ("01", "36") for e in "AFHNSW"
         for t in (1, 24)],
        ("ShEMO", ("anger", "fear", "happiness", "neutral", "sadness", "surprise"), {"F01", "F36", "M01", "M36"}),
    ),
    "emovdb": (
        ["bea_Amused/amused_1-28_0001.wav", "bea_Amused/amused_141_168_0141.wav", "sam_Disgusted/Disgust_1-28_0001.wav",
         "josh_Sleepy/sleepiness_1-28_0001.wav", "jenie_Neutral/neutral_1-28_0002.wav"],
        ("EmoV-DB", ("amused", "disgusted", "neutral", "sleepy"), {"bea", "sam", "josh", "jenie"}),
    ),
}  # fmt: skip
"""Small trees of the published forms: files, and the name, classes and speakers that are right."""


@pytest.mark.parametrize("corpus", TREES)
@pytest.mark.parametrize("told", [False, True], ids=["auto", "by name"])
def test_published_trees(tmp_path, corpus, told):
    files, (name, labels, speakers) = TREES[corpus]
    found = read(fill(tmp_path, *files), corpus=corpus if told else "auto")
    assert (found.name, found.labels) == (name, labels)
    assert {clip.speaker for clip in found.utterances} == speakers
    assert sorted(str(clip.path.relative_to(tmp_path)) for clip in found.utterances) == sorted(files)
    genders = {dict(clip.attributes).get("gender") for clip in found.utterances}
    assert genders <= {"female", "male"} or corpus in ("esd", "aesdd")
    others = sorted(set(TREES) - {corpus})
    with pytest.raises(UserError, match="file names are not those of"):
        read(tmp_path, corpus=others[0])


def test_sentences_keep_copies_of_esd_apart_by_language(tmp_path):
    found = read(fill(tmp_path, *TREES["esd"][0]))
    assert {(clip.speaker, clip.text) for clip in found.utterances} == {("0001", "zh007"), ("0011", "en007")}


def test_parts_of_esd_are_sessions(tmp_path):
    files = [f"0011/{e}/{p}/0011_{k:06d}.wav" for e, k in (("Angry", 351), ("Sad", 1051))
             for p, k in (("train", k), ("test", k + 1))]  # fmt: skip
    found = read(fill(tmp_path, *files))
    assert Counter(clip.session for clip in found.utterances) == {"train": 2, "test": 2}
    assert "Its parts (test 2, train 2) are sessions; folds are made anew." in found.notes


TESS = pathlib.Path(__file__).parents[3] / "../shared/faults/36_tess/TESS Toronto emotional speech set data"


@pytest.mark.skipif(not TESS.is_dir(), reason="the inputs that failed are not here")
@pytest.mark.parametrize("root", [TESS, TESS.parent, TESS / TESS.name], ids=["outer", "above", "inner"])
def test_tess_that_failed(root):
    found = read(root)
    assert (found.name, len(found.labels)) == ("TESS", 7)
    assert {clip.speaker for clip in found.utterances} == {"OAF", "YAF"}
    assert len({clip.path.name for clip in found.utterances}) == len(found.utterances)


@pytest.mark.parametrize("odd", [1, 2])
def test_half_of_the_names_are_enough_to_ask(tmp_path, odd):
    files = ["Actor_01/03-01-03-01-01-01-01.wav", "Actor_02/03-01-04-01-01-01-02.wav"]
    fill(tmp_path, *files, *(f"Actor_0{n}/take.wav" for n in range(1, odd + 1)))
    with pytest.raises(UserError, match=f"2 of {2 + odd} file names are those of RAVDESS, others are not"):
        read(tmp_path)


def test_short_names_are_shemo_below_its_folders_alone(tmp_path):
    fill(tmp_path, *(f"{label}/F01A0{n}.wav" for label in ("anger", "sad") for n in (1, 2)))
    assert read(tmp_path, speakers="unknown").labels == ("anger", "sad")


RAVDESS_REAL = pathlib.Path(__file__).parents[3] / "../shared/data/ravdess"
EMODB_REAL = pathlib.Path(__file__).parents[3] / "../shared/data/emodb4"


@pytest.mark.skipif(not RAVDESS_REAL.is_dir(), reason="RAVDESS is not here")
def test_the_real_ravdess():
    found = read(RAVDESS_REAL)
    assert Counter(Counter(clip.label for clip in found.utterances).values()) == {192: 7, 96: 1}
    assert Counter(clip.speaker for clip in found.utterances) == {f"{actor:02d}": 60 for actor in range(1, 25)}


@pytest.mark.skipif(not EMODB_REAL.is_dir(), reason="EMO-DB is not here")
def test_the_real_emodb():
    found = read(EMODB_REAL)
    assert Counter(clip.label for clip in found.utterances) == {"anger": 127, "happy": 71, "neutral": 79, "sad": 62}
    assert len({clip.speaker for clip in found.utterances}) == 10
