"""Files of labels and the recordings of their rows."""

import pytest

from serjax.data.corpora.label_files import (
    Recording,
    Row,
    by_name,
    find_label_files,
    find_recordings,
    read_table,
    with_files,
)
from serjax.data.utterance import Utterance
from serjax.runtime.errors import UserError


def fill(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def test_files_of_labels_lie_at_most_two_folders_deep(tmp_path):
    fill(tmp_path, "Labels/A.csv", "x/y/a.CSV", "x/y/z/a.csv", "b.csv")
    assert find_label_files(tmp_path, ["a.csv"]) == [tmp_path / "Labels/A.csv", tmp_path / "x/y/a.CSV"]


def test_sounds_and_videos_of_one_name_are_one_recording(tmp_path):
    fill(tmp_path, "wav/a.wav", "mp4/A.mp4", "mp4/b.mp4")
    found = by_name(tmp_path, find_recordings(tmp_path))
    assert found["a"] == Recording(tmp_path / "wav/a.wav", tmp_path / "mp4/A.mp4")
    assert found["b"] == Recording(None, tmp_path / "mp4/b.mp4")
    fill(tmp_path, "more/a.flac")
    with pytest.raises(UserError, match=r"more/a.flac and wav/a.wav have one name|wav/a.wav and more/a.flac"):
        by_name(tmp_path, find_recordings(tmp_path))


def test_tables_are_read_by_their_header(tmp_path):
    (tmp_path / "a.csv").write_text('\ufeffx,y\n1,"two, three"\n4\n')
    assert read_table(tmp_path / "a.csv", ["x"]) == [{"x": "1", "y": "two, three"}, {"x": "4", "y": ""}]
    with pytest.raises(UserError, match="it has no column z, but x, y"):
        read_table(tmp_path / "a.csv", ["z"])
    with pytest.raises(UserError, match="the file of labels cannot be read"):
        read_table(tmp_path / "b.csv", ["z"])


def test_rows_without_files_are_told(tmp_path):
    rows = [
        Row(Utterance("a", tmp_path, "sad"), Recording(tmp_path / "a.wav")),
        Row(Utterance("b", tmp_path, "joy"), None),
    ]
    with pytest.raises(UserError, match=r"1 of 2 labelled clips of X have no sound file or video below it \(b\)"):
        with_files(tmp_path, "X", rows, videos=False, skip_missing=False)
    assert [clip.id for clip in with_files(tmp_path, "X", rows, videos=False, skip_missing=True)] == ["a"]
    with pytest.raises(UserError, match="2 of 2 labelled clips of X have no video"):
        with_files(tmp_path, "X", rows, videos=True, skip_missing=True)
    with pytest.raises(UserError, match="no clip of X has a label"):
        with_files(tmp_path, "X", [], videos=False, skip_missing=True)
