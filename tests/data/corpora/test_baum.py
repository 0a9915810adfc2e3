"""BAUM-1s: a tree of the published form with its spreadsheet, and rows that do not fit."""

import pytest

from serjax.data.config import DataConfig
from serjax.data.corpora.baum import EMOTIONS
from serjax.data.corpora.read import read_corpus
from serjax.runtime.errors import UserError
from tests.data.corpora.test_spreadsheet import write_xlsx

ROWS = [
    ["No", "Subject", "Gender", "Clip Name", "Emotion", "Emotion Code"],
    ["1", "1", "F", "S001_001", "Happiness", "8"],
    ["2", "1", "F", "S001_002", "Concentrating", "4"],
    ["3", "17", "M", "S017_001", "Contempt", "5"],
    ["4", "17", "M", "S017_002", "Unsure", "13"],
]


@pytest.fixture
def root(tmp_path):
    write_xlsx(tmp_path / "Annotations_BAUM1s.xlsx", ROWS)
    for row in ROWS[1:]:
        path = tmp_path / f"BAUM1s_MP4 - All/{row[3][:4].lower()}/{row[3]}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def read(root, videos=False, **fields):
    return read_corpus(DataConfig(root=str(root), **fields), videos=videos)


@pytest.mark.parametrize("corpus", ["auto", "baum1s"])
@pytest.mark.parametrize("videos", [False, True])
def test_it_is_read(root, corpus, videos):
    found = read(root, corpus=corpus, videos=videos)
    assert (found.name, found.labels) == ("BAUM-1s", ("concentrating", "contempt", "happiness", "unsure"))
    assert [(clip.id, clip.speaker, dict(clip.attributes)["gender"]) for clip in found.utterances] == [
        ("S001_001", "S001", "female"),
        ("S001_002", "S001", "female"),
        ("S017_001", "S017", "male"),
        ("S017_002", "S017", "male"),
    ]
    assert all((clip.video == clip.path) == videos for clip in found.utterances)


def test_a_table_that_was_saved_as_text_wins(root):
    (root / "Annotations_BAUM1s.csv").write_text("S001_001;Anger;F\nS017_001;Sadness;M\n")
    assert {clip.id: clip.label for clip in read(root).utterances} == {"S001_001": "anger", "S017_001": "sadness"}


def test_rows_that_do_not_fit_are_told(root):
    table = root / "Annotations_BAUM1s.csv"
    table.write_text("S001_001,Sleepy\n")
    with pytest.raises(UserError, match=f"csv:1: no cell of S001_001 is an emotion .{EMOTIONS['ang']}, "):
        read(root)
    table.write_text("S001_001,Anger\nS001_001,Fear\n")
    with pytest.raises(UserError, match="csv:2: S001_001 stands there a second time"):
        read(root)
    table.write_text("S001_001,Anger\nS009_001,Fear\n")
    with pytest.raises(UserError, match=r"1 of 2 labelled clips of BAUM-1s have no sound file or video .*\(S009_001\)"):
        read(root)
    with pytest.raises(UserError, match=r"no Annotations_BAUM1s.xlsx in it"):
        read(root / "BAUM1s_MP4 - All", corpus="baum1s")
