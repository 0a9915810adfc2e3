"""The command line of a study: its options become settings, what is missing gets a sentence, jobs do one cell."""

import pytest

from serjax.runs.study.cells import Cell
from serjax.runs.study.settings import Study, StudyCorpus, StudyEncoder
from serjax.runtime.errors import UserError
from serjax.study import main

CELL = {"encoder": "tiny", "train": "a", "test": "a", "sentence": "It failed.", "scores": None}
REPORT = {
    "study": {"protocol": "speaker", "seeds": 1},
    "encoders": ["tiny"],
    "corpora": ["a"],
    "metric": "ua",
    "cells": [CELL],
    "ranks": None,
    "published": None,
    "notes": ["A note."],
}


@pytest.fixture
def given(monkeypatch):
    found = {}

    def run_study(study, command, **others):
        found.update(study=study, command=command, **others)
        return REPORT

    monkeypatch.setattr("serjax.runs.study.run.run_study", run_study)
    return found


def test_options_become_settings_and_a_failed_cell_a_status(given, tmp_path, capsys):
    (tmp_path / "a").mkdir()
    arguments = ["--encoders", "tiny=serjax-tiny", "random:wavlm:tiny", "--corpora", str(tmp_path / "a")]
    arguments += ["--protocol", "speaker", "--label-map", f"a={tmp_path / 'map.json'}", "--labels", "sad", "glad"]
    arguments += ["--learning-rates", "0.1", "0.2", "--seeds", "3", "--on", "slurm", "--out", str(tmp_path)]
    assert main([*arguments, "--job", "timeout_min=60", "slurm_partition=gpu"]) == 1
    assert given["study"] == Study(
        encoders=(StudyEncoder("tiny", "serjax-tiny"), StudyEncoder("random-wavlm-tiny", None, "wavlm", "tiny")),
        corpora=(StudyCorpus("a", str(tmp_path / "a"), label_map=str(tmp_path / "map.json")),),
        protocol="speaker",
        labels=("sad", "glad"),
        learning_rates=(0.1, 0.2),
        seeds=3,
        out=str(tmp_path),
    )
    assert given["command"].startswith("python -m serjax.study --encoders tiny=serjax-tiny random:wavlm:tiny")
    assert given["engine"] == "slurm"
    assert given["resources"] == {"timeout_min": 60, "slurm_partition": "gpu"}
    printed = capsys.readouterr().out
    assert "It failed." in printed
    assert "A note." in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--encoders is missing"),
        (["--encoders", "serjax-tiny"], "--corpora is missing"),
        (["--encoders", "serjax-tiny", "--corpora", "."], "--protocol is missing"),
        (["--encoders", "serjax-tiny", "--corpora", ".", "--protocol", "corss"], "did you mean cross"),
        (["--job", "fast"], "--job fast: give KEY=VALUE"),
        (["--encodres", "x"], "did you mean --encoders"),
    ],
)
def test_what_is_missing_or_wrong_gets_a_sentence(arguments, message):
    with pytest.raises(UserError, match=message):
        main(arguments)


def test_a_job_does_its_cell(monkeypatch, tmp_path):
    done = []
    monkeypatch.setattr("serjax.runs.study.run.run_one", lambda folder, cell: done.append((folder, cell)))
    assert main(["--cell", str(tmp_path), "train", "tiny", "a"]) == 1
    assert done == [(tmp_path, Cell("train", "tiny", "a"))]
