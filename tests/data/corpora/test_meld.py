"""MELD: a tree of the published form, its parts, and what is missing."""

import pytest

from serjax.data.config import DataConfig
from serjax.data.corpora.read import read_corpus
from serjax.runtime.errors import UserError

FOLDERS = {"train": "train/train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
HEADER = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime\n"


@pytest.fixture
def root(tmp_path):
    for part, folder in FOLDERS.items():
        (tmp_path / folder).mkdir(parents=True)
        table = tmp_path / ("train" if part == "train" else "") / f"{part}_sent_emo.csv"
        rows = [(0, 0, "Joey", "joy", '"Hey, you!"'), (0, 1, "Monica", "neutral", f"I am {part}\x92s")]
        table.write_bytes(
            (HEADER + "".join(f'{n},{text},{who},{label},x,{d},{u},8,21,"00:16:16,059","00:16:21,731"\n'
                              for n, (d, u, who, label, text) in enumerate(rows, 1))).encode("cp1252", "replace")
        )  # fmt: skip
        for dialog, turn, *_ in rows:
            (tmp_path / folder / f"dia{dialog}_utt{turn}.mp4").touch()
    (tmp_path / FOLDERS["test"] / "final_videos_testdia0_utt0.mp4").touch()
    (tmp_path / FOLDERS["test"] / "._dia0_utt1.mp4").touch()
    return tmp_path


def read(root, videos=False, **fields):
    return read_corpus(DataConfig(root=str(root), **fields), videos=videos)


@pytest.mark.parametrize("corpus", ["auto", "meld"])
@pytest.mark.parametrize("videos", [False, True])
def test_it_is_read(root, corpus, videos):
    found = read(root, corpus=corpus, videos=videos)
    assert (found.name, found.labels) == ("MELD", ("joy", "neutral"))
    assert {clip.id: (clip.path.parent.name, clip.session, clip.speaker, clip.label) for clip in found.utterances} == {
        f"{part}/dia0_utt{n}": (folder.split("/")[-1], part, *who)
        for part, folder in FOLDERS.items()
        for n, who in enumerate((("Joey", "joy"), ("Monica", "neutral")))
    }
    assert {clip.path.name[:3] for clip in found.utterances} == {"dia"}
    assert all((clip.video == clip.path) == videos for clip in found.utterances)
    assert found.utterances[0].text == "hey you"


def test_sounds_of_their_own_win(root):
    (root / "dev_wav").mkdir()
    (root / "dev_wav/dia0_utt0.wav").touch()
    clips = {clip.id: clip.path for clip in read(root).utterances}
    assert clips["dev/dia0_utt0"] == root / "dev_wav/dia0_utt0.wav"
    assert clips["test/dia0_utt0"].suffix == ".mp4"


def test_one_part_alone_needs_no_name(root, tmp_path_factory):
    alone = tmp_path_factory.mktemp("clips")
    (root / FOLDERS["dev"]).rename(alone / "x")
    (root / "dev_sent_emo.csv").rename(alone / "dev_sent_emo.csv")
    assert {clip.session for clip in read(alone).utterances} == {"dev"}


def test_what_does_not_fit_is_told(root):
    (root / FOLDERS["dev"] / "dia0_utt1.mp4").unlink()
    with pytest.raises(
        UserError, match=r"1 of 6 labelled clips of MELD have no sound file or video .*\(dev/dia0_utt1\)"
    ):
        read(root)
    assert len(read(root, skip_bad=True).utterances) == 5
    (root / "other").mkdir()
    twin = root / "other/train"
    twin.mkdir()
    (twin / "dia0_utt0.mp4").touch()
    with pytest.raises(UserError, match=r"are one utterance of the part train; move one of them away"):
        read(root, skip_bad=True)
    twin.rename(root / "other/more")
    with pytest.raises(UserError, match=r"no folder above .* says train, dev or test"):
        read(root, skip_bad=True)


def test_what_is_no_meld_is_told(tmp_path):
    with pytest.raises(UserError, match="there is none of MELD's tables"):
        read(tmp_path, corpus="meld")
