"""Formats of lists: a header with tabs, other separators, keys of JSON lines, and what is said of columns."""

import json

import pytest

from serjax.data.corpora.list_formats import LIST_SUFFIXES, READERS, Reading
from serjax.runtime.errors import UserError


def read(tmp_path, kind, text, *, labelled=True, **columns):
    path = tmp_path / "list"
    path.write_text(text, encoding="utf-8")
    reading = Reading(columns, labelled)
    return list(READERS[kind](path, reading)), reading.notes


def told(entries):
    return [(entry.line, entry.path, entry.label, entry.speaker) for entry in entries]


def test_a_tsv_with_a_header_is_read_by_its_columns(tmp_path):
    text = 'file_id\temotion\traw_text\tspeaker_id\nEB0_1\tanger\t"Tak", he said\tEB0\n\nDK1_2\tfear\t"\tDK1\n'
    entries, notes = read(tmp_path, "tsv", text)
    assert told(entries) == [(2, "EB0_1", "anger", "EB0"), (4, "DK1_2", "fear", "DK1")]
    assert [entry.text for entry in entries] == ['"Tak", he said', '"']
    assert len(notes) == 1
    entries, _ = read(tmp_path, "tsv", text, path="file_id", label="raw_text")
    assert told(entries)[0] == (2, "EB0_1", '"Tak", he said', "EB0")
    with pytest.raises(UserError, match="list:3: b comes with 1 fields where the header has 2"):
        read(tmp_path, "tsv", "file\tlabel\na\tsad\nb\n")


def test_a_tsv_without_a_header_has_none(tmp_path):
    assert told(read(tmp_path, "tsv", "a.wav\tsad\nb.wav\tglad\n")[0]) == [
        (1, "a.wav", "sad", None), (2, "b.wav", "glad", None)]  # fmt: skip
    with pytest.raises(UserError, match=r"expected path<TAB>label, or a header and --data.columns path=COLUMN"):
        read(tmp_path, "tsv", "name\tfeeling\twho\n")
    assert read(tmp_path, "tsv", "") == ([], [])


@pytest.mark.parametrize("separator", [",", "\t", ";"])
def test_csv_is_separated_as_its_header_is(tmp_path, separator):
    text = "\n".join(separator.join(row) for row in (("path", "label", "spk"), ("a.wav", '"sad"', "x"))) + "\n"
    entries, notes = read(tmp_path, "csv", text)
    assert told(entries) == [(2, "a.wav", "sad", "x")]
    assert notes == ["By the names of the list's columns: spk is the speaker."]


def test_json_lines_take_speakers_under_known_keys_and_name_what_is_left(tmp_path):
    rows = [{"key": "1", "wav": "a.wav", "emo": "sad", "speaker_id": 3, "length": 2.0, "age": 31}]
    rows += [{"key": "2", "wav": "b.wav", "emo": "glad", "spk": "x", "sex": "f"}]
    entries, notes = read(tmp_path, "jsonl", "\n".join(map(json.dumps, rows)))
    assert told(entries) == [(1, "a.wav", "sad", "3"), (2, "b.wav", "glad", "x")]
    assert [(entry.gender, entry.age) for entry in entries] == [(None, "31"), ("f", None)]
    assert notes == ["Columns not used: length."]
    with pytest.raises(UserError, match=r"list:1: the speaker may be in any of the keys actor, subject; say which"):
        read(tmp_path, "jsonl", json.dumps({"key": "1", "wav": "a", "emo": "b", "actor": "c", "subject": "d"}))
    other = json.dumps({"name": "1", "file": "a.wav", "feeling": "sad"})
    entries, notes = read(tmp_path, "jsonl", other, id="name", path="file", label="feeling")
    assert (told(entries), notes) == ([(1, "a.wav", "sad", None)], [])


def test_without_labels_no_label_is_needed(tmp_path):
    assert told(read(tmp_path, "csv", "path\na.wav\n", labelled=False)[0]) == [(2, "a.wav", "", None)]
    assert told(read(tmp_path, "jsonl", '{"key": "1", "wav": "a.wav"}', labelled=False)[0]) == [(1, "a.wav", "", None)]


def test_every_format_has_a_reader():
    assert set(READERS) == set(LIST_SUFFIXES.values())
