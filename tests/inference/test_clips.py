"""Files, folders and lists on a command line, and what the clips in them are called."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serjax.inference.clips import Named, find_clips
from serjax.runtime.errors import UserError


def fill(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def test_files_are_taken_as_they_are():
    given = ["b.wav", "a.FLAC", "gs://bucket/clip.wav", "no suffix"]
    assert find_clips(given) == ([Named(one, one) for one in given], [])


def test_a_folder_is_all_recordings_below_it_sorted(tmp_path):
    root = fill(tmp_path, "b/2.wav", "b/1.M4A", "a.mp4", "c.amr", ".hidden/x.wav", "notes.txt", "b/.y.wav")
    found, notes = find_clips([str(root)])
    assert [clip.name for clip in found] == ["a.mp4", "b/1.M4A", "b/2.wav", "c.amr"]
    assert [Path(clip.path) for clip in found] == [root / clip.name for clip in found]
    assert not notes
    fill(tmp_path / "none", "notes.txt")
    with pytest.raises(UserError, match="none: there are no recordings below it"):
        find_clips([str(tmp_path / "none")])


def test_names_that_would_come_twice_become_paths(tmp_path):
    one, two = fill(tmp_path / "one", "a.wav", "b.wav"), fill(tmp_path / "two", "a.wav")
    found, _ = find_clips([str(one), str(two)])
    assert [clip.name for clip in found] == [str(one / "a.wav"), "b.wav", str(two / "a.wav")]


@pytest.mark.parametrize("name", ["list.txt", "list.tsv", "list.csv", "@list.scp"])
def test_a_list_of_paths(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path(name.removeprefix("@")).write_text("\ufeffa b.wav\n\n/there/c.flac\r\nhf://x/d.wav\n", encoding="utf-8")
    found, notes = find_clips([name, "e.wav"])
    assert found == [
        Named("a b.wav", "a b.wav"),
        Named("/there/c.flac", "/there/c.flac"),
        Named("hf://x/d.wav", "hf://x/d.wav"),
        Named("e.wav", "e.wav"),
    ]
    assert not notes


def test_relative_paths_start_at_the_list(tmp_path):
    (tmp_path / "list.txt").write_text("clips/a.wav\n")
    assert find_clips([str(tmp_path / "list.txt")])[0] == [Named("clips/a.wav", str(tmp_path / "clips/a.wav"))]


@pytest.mark.parametrize(("suffix", "separator"), [(".csv", ","), (".tsv", "\t"), (".txt", "\t")])
def test_a_header_names_the_column_and_what_is_not_used_is_told(tmp_path, suffix, separator):
    path = tmp_path / f"list{suffix}"
    path.write_text(separator.join(["label", "Path"]) + "\n" + separator.join(["sad", "a.wav"]) + "\n")
    found, notes = find_clips([str(path)])
    assert [clip.name for clip in found] == ["a.wav"]
    assert notes == [f"{path}: columns not used: label."]
    path.write_text(separator.join(["a.wav", "sad"]) + "\n")  # as training's lists are
    found, notes = find_clips([str(path)])
    assert [clip.name for clip in found] == ["a.wav"]
    assert notes == [f"{path}: columns not used: 2."]


@given(
    names=st.lists(
        st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters=":"), min_size=1),
        min_size=1,
    )
)
def test_any_name_comes_back_from_a_csv(tmp_path_factory, names):
    path = tmp_path_factory.getbasetemp() / "names.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["path", "label"], *([f"{name}.wav", "x"] for name in names)])
    found, _ = find_clips([str(path)])
    assert [Path(clip.path).name for clip in found] == [Path(f"{name}.wav").name for name in names]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the list has no entry"),
        (b"label,speaker\nsad,1\n", r"its first line \(label, speaker\) neither names a column"),
        (b"path,label\n,sad\n", "entry 1 has no path"),
        (b"a\xff\xfe", "the list is not UTF-8 text"),
    ],
)
def test_lists_that_cannot_be_read(tmp_path, content, message):
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(UserError, match=message):
        find_clips([str(tmp_path / "list.csv")])
    with pytest.raises(UserError, match=r"missing\.csv: the list cannot be read"):
        find_clips([str(tmp_path / "missing.csv")])


def test_a_header_names_the_paths_as_in_lists_that_are_trained_on(tmp_path):
    (tmp_path / "list.csv").write_text("Emotion,File_ID\nsad,one.wav\n")
    ((name, path),), notes = find_clips([str(tmp_path / "list.csv")])
    assert (name, path) == ("one.wav", str(tmp_path / "one.wav"))
    assert notes == [f"{tmp_path / 'list.csv'}: columns not used: Emotion."]
