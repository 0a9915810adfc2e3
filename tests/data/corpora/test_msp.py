"""MSP-Podcast and MSP-IMPROV: trees of the published forms, votes, values, parts, and what is missing."""

from collections import Counter

import pytest

from serjax.data.config import DataConfig
from serjax.data.corpora.msp import read_evaluations
from serjax.data.corpora.read import read_corpus
from serjax.runtime.errors import UserError

CONSENSUS = """FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set
MSP-PODCAST_0001_0008.wav,N,2.2,4.0,2.6,30,Male,Test1
MSP-PODCAST_0001_0009.wav,A,5.777778,2.555556,5.1,39,Female,Train
MSP-PODCAST_0002_0011.wav,H,5.125,5.75,4.0,Unknown,Unknown,Development
MSP-PODCAST_0002_0013.wav,X,3.0,3.75,3.166667,39,Female,Train
MSP-PODCAST_0003_0001_0002.wav,O,2.4,4.2,2.8,30,Male,Train
"""
LABELS = """MSP-PODCAST_0001_0008.wav; N; A:2.200000; V:4.000000; D:2.600000;
WORKER00000001; Neutral; Neutral,Concerned; A:2.0; V:4.0; D:3.0;
WORKER00000002; Other-bored; Other; A:2.0; V:4.0; D:2.0;
WORKER00000002; Other-bored; Other; A:2.0; V:4.0; D:2.0;
WORKER00000003; Neutral; Neutral; A:3.0; V:4.0; D:3.0;

MSP-PODCAST_0001_0009.wav; A; A:5.777778; V:2.555556; D:5.100000;
WORKER00000001; Angry; Angry,Annoyed; A:6.0; V:2.0; D:5.0;
"""


def read(root, labelled=True, videos=False, **fields):
    return read_corpus(DataConfig(root=str(root), **fields), labelled=labelled, videos=videos)


@pytest.fixture
def podcast(tmp_path):
    (tmp_path / "Labels").mkdir()
    (tmp_path / "Labels/labels_consensus.csv").write_text(CONSENSUS)
    (tmp_path / "Labels/labels.txt").write_text(LABELS)
    (tmp_path / "Audios").mkdir()
    for line in CONSENSUS.splitlines()[1:]:
        (tmp_path / "Audios" / line.split(",")[0]).touch()
    return tmp_path


@pytest.mark.parametrize("corpus", ["auto", "msp_podcast"])
def test_the_podcast(podcast, corpus):
    found = read(podcast, corpus=corpus)
    assert (found.name, found.labels) == ("MSP-Podcast", ("angry", "happy", "neutral"))
    assert [(clip.id[-4:], clip.speaker, clip.session) for clip in found.utterances] == [
        ("0008", "30", "Test1"),
        ("0009", "39", "Train"),
        ("0011", None, "Development"),
    ]
    assert found.utterances[0].values == (("arousal", 2.2), ("valence", 4.0), ("dominance", 2.6))
    assert found.utterances[0].votes == (("neutral", 2.0), ("other", 1.0))
    assert [dict(clip.attributes) for clip in found.utterances] == [{"gender": "male"}, {"gender": "female"}, {}]
    assert "1 clips are of unknown speakers." in found.notes
    assert any(
        "2 clips without one of the eight emotions are left out (no agreement 1, other 1)" in n for n in found.notes
    )


def test_clips_without_agreement_stay_where_values_are_trained(podcast):
    assert Counter(clip.label for clip in read(podcast, labelled=False).utterances)["no agreement"] == 1


def test_missing_sounds_of_the_podcast(podcast):
    (podcast / "Audios/MSP-PODCAST_0001_0009.wav").unlink()
    with pytest.raises(UserError, match="1 of 3 labelled clips of MSP-Podcast have no sound file"):
        read(podcast)
    found = read(podcast, skip_bad=True)
    assert len(found.utterances) == 2
    assert "1 labelled clips have no file and are left out." in found.notes


def test_tables_that_do_not_fit_are_told(podcast):
    with pytest.raises(UserError, match="of MSP-Podcast there is sound alone; choose a model without video"):
        read(podcast, videos=True)
    table = podcast / "Labels/labels_consensus.csv"
    table.write_text(CONSENSUS.replace("5.777778", "much"))
    with pytest.raises(UserError, match=r"labels_consensus.csv:3: arousal much of MSP-PODCAST_0001_0009 is no number"):
        read(podcast)
    table.write_text("File,EmoClass\na.wav,N\n")
    with pytest.raises(UserError, match="it has no column FileName, but File, EmoClass"):
        read(podcast)
    table.unlink()
    with pytest.raises(UserError, match=r"there is no labels_consensus.csv in it; give the folder of MSP-Podcast"):
        read(podcast, corpus="msp_podcast")


def test_lines_that_do_not_fit_are_told(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("WORKER1; Angry; Angry; A:1; V:1; D:1;\n")
    with pytest.raises(UserError, match=r"labels.txt:1: 'WORKER1; Angry; .* comes before all clips"):
        read_evaluations(path)
    path.write_text("a.wav; N; A:1;\na.wav; N; A:1;\n")
    with pytest.raises(UserError, match=r"labels.txt:2: a is evaluated a second time"):
        read_evaluations(path)


IMPROV = """UTD-IMPROV-S01A-F01-P-FM01.avi; N; A:3.000000; V:4.200000; D:2.600000 ; N:4.000000;
ITS0001; Neutral; Neutral; A:3.000000; V:4.000000; D:3.000000; N:4.000000;
ITS0002; Happy; Happy; A:3.000000; V:5.000000; D:2.000000; N:NaN;

UTD-IMPROV-S01A-F01-P-MF02.avi; H; A:3.000000; V:4.200000; D:NaN ; N:4.000000;
UTD-IMPROV-S08S-M05-R-MM01.avi; S; A:2.000000; V:2.000000; D:2.000000 ; N:4.000000;
UTD-IMPROV-S08S-M05-T-MF01.avi; X; A:2.000000; V:2.000000; D:2.000000 ; N:4.000000;
"""


@pytest.fixture
def improv(tmp_path):
    (tmp_path / "Evalution.txt").write_text(IMPROV)
    for line in IMPROV.splitlines():
        if line.startswith("UTD"):
            name = line.split(".")[0].replace("UTD", "MSP")
            folder = tmp_path / f"session{name.split('-')[3][-1]}/{name.split('-')[2]}/{name.split('-')[4]}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{name}.wav").touch()
            (folder / f"{name.replace('MSP', 'UTD')}.avi").touch()
    return tmp_path


@pytest.mark.parametrize("corpus", ["auto", "msp_improv"])
@pytest.mark.parametrize("videos", [False, True])
def test_improv(improv, corpus, videos):
    found = read(improv, corpus=corpus, videos=videos)
    assert (found.name, found.labels) == ("MSP-IMPROV", ("happy", "neutral", "sad"))
    clips = {clip.id: clip for clip in found.utterances}
    assert {name[-4:]: (clip.speaker, clip.session) for name, clip in clips.items()} == {
        "FM01": ("F01", "1"),
        "MF02": ("M01", "1"),
        "MM01": ("M05", "5"),
    }
    clip = clips["MSP-IMPROV-S01A-F01-P-FM01"]
    assert clip.votes == (("happy", 1.0), ("neutral", 1.0))
    assert clip.values == (("arousal", 3.0), ("valence", 4.2), ("dominance", 2.6), ("naturalness", 4.0))
    assert "dominance" not in dict(clips["MSP-IMPROV-S01A-F01-P-MF02"].values)
    assert {clip.path.suffix for clip in found.utterances} == {".wav"}
    assert {clip.video and clip.video.suffix for clip in found.utterances} == ({".avi"} if videos else {None})


def test_another_evaluation_is_no_improv(tmp_path):
    (tmp_path / "Evaluation.txt").write_text("It went well.\n")
    for path in ("anger/one.wav", "sad/two.wav"):
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).touch()
    assert read(tmp_path).labels == ("anger", "sad")
