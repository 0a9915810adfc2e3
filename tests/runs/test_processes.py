"""Checks of processes before they train: the same settings and versions, and a run folder that all see."""

import json

import pytest

from serjax.config.experiment import Experiment
from serjax.runs import processes
from serjax.runs.processes import check_alike, check_shared
from serjax.runtime import distributed
from serjax.runtime.errors import UserError


def other(monkeypatch, change):
    """Let the second process tell what the first does, but changed."""

    def exchange(what, text):
        value = json.loads(text)
        change(what, value)
        return [text, json.dumps(value)]

    monkeypatch.setattr(distributed, "exchange", exchange)


def test_processes_that_are_alike_pass(monkeypatch):
    check_alike(Experiment("run"))
    other(monkeypatch, lambda what, value: None)
    check_alike(Experiment("run"))


def test_another_setting_is_named(monkeypatch):
    def change(what, value):
        if what == "settings":
            value["optimizer"]["beta2"] = 0.5

    other(monkeypatch, change)
    with pytest.raises(UserError, match=r"process 1 was given another optimizer\.beta2 than process 0"):
        check_alike(Experiment("run"))


def test_another_version_is_named(monkeypatch):
    def change(what, value):
        if what == "facts":
            value["version of jax"] = "0.1"

    other(monkeypatch, change)
    with pytest.raises(UserError, match=r"process 1 has another version of jax than process 0: 0\.1, not"):
        check_alike(Experiment("run"))


def test_how_parameters_and_folds_are_laid_out_must_be_the_same(monkeypatch):
    def change(what, value):
        if what == "settings":
            value["mesh"]["shard"] = 2

    other(monkeypatch, change)
    with pytest.raises(UserError, match=r"another mesh\.shard than process 0"):
        check_alike(Experiment("run"))


def test_the_place_of_a_run_may_be_named_differently(monkeypatch, tmp_path):
    texts = []
    monkeypatch.setattr(distributed, "exchange", lambda what, text: texts.append(text) or [text])
    check_alike(Experiment("run", out=str(tmp_path)))
    check_alike(Experiment("run", overwrite=True))
    assert texts[:2] == texts[2:]


def test_a_run_folder_that_a_process_does_not_see_is_refused(monkeypatch, tmp_path):
    check_shared(tmp_path)
    monkeypatch.setattr(processes, "blind_processes", lambda folder, within=60.0: [1, 3])
    with pytest.raises(UserError, match=r"processes 1, 3 cannot see what process 0 writes there; give --out"):
        check_shared(tmp_path)
