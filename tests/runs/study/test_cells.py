"""Cells: their order, their folders, and one that fails while others go on."""

from dataclasses import replace

import pytest

from serjax.runs.study import cells as module
from serjax.runs.study.cells import Cell, answers, fail, find, forget, is_done, others, run_cell, sentence, stages
from serjax.runs.study.settings import parse_encoder
from serjax.runtime.errors import UserError


def test_across_corpora_answers_come_after_all_training(study):
    training, answering = stages(study)
    assert training == [Cell("train", "tiny", "one"), Cell("train", "tiny", "two")]
    assert answering == [Cell("answer", "tiny", "one"), Cell("answer", "tiny", "two")]
    assert list(stages(replace(study, protocol="speaker"))) == [training]
    assert others(study, answering[0]) == ["two"]


def test_a_cell_that_is_not_there_gets_a_sentence(study):
    assert find(study, Cell("train", "tiny", "two")) == (study.encoders[0], study.corpora[1])
    with pytest.raises(UserError, match="the study has no cell tiny three"):
        find(study, Cell("train", "tiny", "three"))


def test_a_failure_is_kept_until_the_cell_is_tried_again(study):
    cell = Cell("train", "tiny", "one")
    assert sentence(study, cell) is None
    assert answers(study, "tiny", "one", "one") == "not done yet"
    fail(study, cell, "It rained.\nTraceback")
    assert sentence(study, cell) == "It rained."
    assert answers(study, "tiny", "one", "one") == "It rained."
    forget(study, cell)
    assert sentence(study, cell) is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UserError("The folds\ndo not fit."), "The folds do not fit."),
        (RuntimeError("out of memory"), "RuntimeError: out of memory"),
        (ZeroDivisionError(), "ZeroDivisionError: no reason was given"),
    ],
)
def test_what_goes_wrong_in_a_cell_becomes_its_sentence(study, monkeypatch, error, expected):
    def broken(experiment, command, example):
        raise error

    monkeypatch.setattr(module, "train", broken)
    cell = Cell("train", "tiny", "one")
    assert not run_cell(study, cell, "command")
    assert sentence(study, cell) == expected


def test_ctrl_c_goes_through(study, monkeypatch):
    def stopped(experiment, command, example):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "train", stopped)
    with pytest.raises(KeyboardInterrupt):
        run_cell(study, Cell("train", "tiny", "one"), "command")
    assert sentence(study, Cell("train", "tiny", "one")) is None


def test_without_heads_there_are_no_answers(study):
    cell = Cell("answer", "tiny", "one")
    assert not run_cell(study, cell, "command")
    assert sentence(study, cell) == "there are no heads, as their training failed."


def test_an_encoder_that_cannot_be_read_fails_in_its_cell(study, tmp_path):
    (tmp_path / "empty").mkdir()
    study = replace(study, encoders=(parse_encoder(str(tmp_path / "empty")),), labels=("high", "low"))
    assert not run_cell(study, Cell("train", "empty", "one"), "command")
    assert "config.json" in sentence(study, Cell("train", "empty", "one"))


def test_nothing_is_done_where_nothing_was_trained(study):
    assert not any(is_done(study, cell) for stage in stages(study) for cell in stage)
