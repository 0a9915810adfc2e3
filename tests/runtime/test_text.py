"""One reader of text: encodings, ends of lines, rows."""

import os
import threading

import pytest

from serjax.runtime import text
from serjax.runtime.errors import UserError
from serjax.runtime.text import read_lines, read_rows, read_text


def written(folder, content):
    (folder / "a.txt").write_bytes(content)
    return folder / "a.txt"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_marks_tell_the_encoding_and_lines_end_as_in_files(tmp_path, encoding, end):
    lines = ["wütend\u2028still", "", "b\x85c\x0bd\x1ce", "last"]
    path = written(tmp_path, end.join(lines).encode(encoding))
    assert list(read_lines(path)) == list(enumerate(lines, 1))
    assert read_text(path) == "\n".join(lines)


def test_marks_of_files_that_were_joined_are_no_text(tmp_path):
    path = written(tmp_path, "a\n".encode("utf-8-sig") + "b\n".encode("utf-8-sig"))
    assert [line for _, line in read_lines(path)] == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\nb\nwütend\n".encode("latin-1"), r"a\.txt:3: the list is not UTF-8 text \(byte 0xfc\).*Latin-1"),
        ("ab\n".encode("utf-16-le"), r"a\.txt:1: .*UTF-16 without a byte order mark"),
        ("ü\n".encode("utf-16-le") * 20, r"a\.txt:1: .*UTF-16 without a byte order mark"),
        (b"RIFF\x24\x00\x00\x00WAVE", r"a\.txt:1: the list holds bytes of zero"),
        ("ab".encode("utf-16") + b"x", r"begins as UTF-16"),
        (b"a" * 100, r"a\.txt:1: the line has more than 64 characters"),
    ],
    ids=["latin", "utf-16", "accents", "sound", "torn", "long"],
)
def test_other_encodings_are_named_with_the_line(tmp_path, content, message, monkeypatch):
    monkeypatch.setattr(text, "LONGEST", 64)
    with pytest.raises(UserError, match=message):
        list(read_lines(written(tmp_path, content)))


def test_lenient_reading_goes_on(tmp_path):
    assert list(read_lines(written(tmp_path, b"a\xfc\0b\n"), lenient=True)) == [(1, "a\ufffd\0b")]


def test_files_that_cannot_be_read(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"the map cannot be read \(No such file or directory\); write one"):
        read_text(tmp_path / "none", "the map", "write one")
    with pytest.raises(UserError, match="it is a folder"):
        read_text(tmp_path)
    monkeypatch.setattr(text, "LARGEST", 2)
    with pytest.raises(UserError, match="the file has 3 bytes"):
        read_text(written(tmp_path, b"abc"))


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    found = []

    def read():
        try:
            list(read_lines(tmp_path / "pipe"))
        except UserError as error:
            found.append(str(error))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(10)
    assert "a pipe or a device" in found[0]


def test_rows_have_the_numbers_of_their_lines(tmp_path):
    path = written(tmp_path, b'\na;b\n"1\n2";3\n\n4;5\n')
    assert list(read_rows(path, separators=",;\t")) == [(2, ["a", "b"]), (3, ["1\n2", "3"]), (6, ["4", "5"])]
    path = written(tmp_path, b"a,b\n1," + b"x" * 200_000 + b"\n")
    with pytest.raises(UserError, match=r"a\.txt:2: the list is not CSV there \(field larger"):
        list(read_rows(path, separators=","))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"PK\3\4" + bytes(30), "a zip archive, as Excel's"),
        (b"\x1f\x8b\x08", "compressed by gzip"),
        (b"PAR1\0", "a Parquet file"),
    ],
)
def test_files_that_are_no_text_are_named(tmp_path, content, what):
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(UserError, match=f"list.csv: the list is {what}.*; save it as text in UTF-8"):
        list(read_lines(tmp_path / "list.csv"))
