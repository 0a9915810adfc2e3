"""Random bytes, text and names in every format of lists, labels, maps and folds: read, or refused by a sentence."""

import json
import zipfile
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serjax.data.config import DataConfig, FoldsConfig
from serjax.data.corpora.attributes import read_people
from serjax.data.corpora.iemocap import read_iemocap
from serjax.data.corpora.label_files import read_table
from serjax.data.corpora.label_names import read_label_map
from serjax.data.corpora.lists import read_list
from serjax.data.corpora.msp import read_evaluations
from serjax.data.corpora.read import read_corpus
from serjax.data.corpora.spreadsheet import read_cells
from serjax.data.folds.fold import load_folds, read_hashes, read_numbers, read_parts
from serjax.data.folds.make import make_folds
from serjax.data.utterance import Utterance
from serjax.inference.clips import find_clips
from serjax.runtime.errors import UserError

CLIPS = [Utterance(name, Path(f"{name}.wav"), "AB"[i % 2]) for i, name in enumerate("abcd")]


def emobox(path):
    folder = path.with_name("folds") / "fold_1"
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "test"):
        (folder / f"{part}.jsonl").write_bytes(path.read_bytes())
    make_folds(CLIPS, FoldsConfig(kind="files", path=str(folder.parent)), 0)


def people(path):
    (path.parent / "VideoDemographics.csv").write_bytes(path.read_bytes())
    read_people(path.parent, "cremad")


def iemocap(path):
    folder = path.with_name("Session1") / "dialog/EmoEvaluation"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Ses01F_impro01.txt").write_bytes(path.read_bytes())
    read_iemocap(path.parent)


def spreadsheet(path):
    book = path.with_suffix(".xlsx")
    with zipfile.ZipFile(book, "w") as archive:
        archive.writestr("xl/worksheets/sheet1.xml", path.read_bytes())
    read_cells(book)


def archive(path):
    book = path.with_suffix(".xlsx")
    book.write_bytes(b"PK\x03\x04" + path.read_bytes())
    read_cells(book)


def mapped(path):
    (path.parent / "x.tsv").write_text("a.wav\tA\nb.wav\tB\n")
    for name in "ab":
        (path.parent / f"{name}.wav").touch()
    read_corpus(DataConfig(root=str(path.parent / "x.tsv"), label_map=str(path)))


READERS = {
    **{kind: partial(read_list, kind=kind, skip_missing=True) for kind in ("tsv", "scp", "csv", "jsonl")},
    "columns": lambda path: read_list(path, "csv", columns=("path=a", "label=b", "votes.x=c")),
    "unlabelled": lambda path: read_list(path, "jsonl", labelled=False),
    "table": lambda path: read_table(path, ["path"]),
    "cells": read_cells,
    "spreadsheet": spreadsheet,
    "archive": archive,
    "map": lambda path: read_label_map(str(path)),
    "mapped": mapped,
    "evaluations": read_evaluations,
    "people": people,
    "iemocap": iemocap,
    "emobox": emobox,
    "folds": lambda path: load_folds(path, CLIPS),
    "parts": read_parts,
    "numbers": read_numbers,
    "hashes": read_hashes,
    "predict": lambda path: find_clips([f"@{path}"]),
}

KEYS = (
    *("path", "label", "key", "wav", "emo", "spk", "start", "end", "id", "speaker", "age", "gender", "text", "arousal"),
    *("folds", "clips", "number", "validation", "hashes", "votes.sad", "a", "b", "c", "ActorID", "Sex", "1"),
)
VALUES = st.one_of(
    st.sampled_from(
        ["a.wav", "A", "nan", "-1", "", "1e999", "../../etc/passwd", "x" * 5000, "a\0b", "\ud800", "1" * 5000]
    ),
    st.text(max_size=8),
    st.none() | st.booleans() | st.integers() | st.floats(),
    st.sampled_from([10**4000, [[]], {}, {"number": 1}]),
)
JSON = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=12,
)


ROWS = st.lists(st.lists(st.sampled_from(KEYS) | st.text(max_size=6), max_size=5), max_size=5)
ENCODINGS = st.sampled_from(["utf-16", "utf-32", "utf-8-sig", "utf-16-le", "latin-1"])
HOSTILE = (
    *(b"[" * 100_000, b'{"a":' * 50_000, b'"' * 7, b"\r" * 9, b"<a>" * 2000, b"\xef\xbb\xbf", b"\xff\xfe"),
    b'{"key": ' + b"1" * 5000 + b"}",
)
CONTENT = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")),
    ENCODINGS.map("path,label\na.wav,ä".encode),
    st.lists(JSON, min_size=1, max_size=3).map(lambda rows: "\n".join(map(json.dumps, rows)).encode()),
    st.builds(
        lambda rows, separator: "\n".join(separator.join(row) for row in rows).encode("utf-8", "replace"),
        ROWS,
        st.sampled_from([",", "\t", ";", " "]),
    ),
    st.sampled_from(HOSTILE),
)


def read_or_refuse(folder, name, content):
    path = folder / "file.txt"
    path.write_bytes(content)
    try:
        READERS[name](path)
    except UserError as error:
        str(error).encode()


@pytest.mark.parametrize("name", READERS)
def test_any_bytes_are_read_or_refused(tmp_path, name):
    @settings(max_examples=8, suppress_health_check=list(HealthCheck), database=None)
    @given(content=CONTENT)
    def check(content):
        read_or_refuse(tmp_path, name, content)

    check()


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_many_bytes_are_read_or_refused(tmp_path, name):
    @settings(max_examples=300, suppress_health_check=list(HealthCheck), database=None)
    @given(content=CONTENT)
    def check(content):
        read_or_refuse(tmp_path, name, content)

    check()


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12).filter(
    lambda name: name not in (".", "..") and len(name.encode()) < 200
)


def walk_names(factory, folders, files):
    root = factory.mktemp("corpus")
    for folder in folders:
        (root / folder).mkdir(exist_ok=True)
        for name in files:
            (root / folder / f"{name}.wav").touch()
    try:
        corpus = read_corpus(DataConfig(root=str(root)), ask=False)
    except UserError as error:
        str(error).encode()
        return
    assert len(corpus.labels) > 1
    assert len({clip.id for clip in corpus.utterances}) == len(corpus.utterances)


@settings(max_examples=10, suppress_health_check=list(HealthCheck))
@given(folders=st.lists(NAMES, min_size=1, max_size=4), files=st.lists(NAMES, min_size=1, max_size=3))
def test_any_names_are_read_or_refused(tmp_path_factory, folders, files):
    walk_names(tmp_path_factory, folders, files)


@pytest.mark.slow
@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(folders=st.lists(NAMES, min_size=1, max_size=4), files=st.lists(NAMES, min_size=1, max_size=3))
def test_many_names_are_read_or_refused(tmp_path_factory, folders, files):
    walk_names(tmp_path_factory, folders, files)
