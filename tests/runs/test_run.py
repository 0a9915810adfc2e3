"""An experiment is dispatched to training, search, pretraining or alignment."""

from dataclasses import replace

import pytest

import serjax
from serjax.runs.run import run
from serjax.runtime.errors import UserError


@pytest.mark.parametrize(
    ("name", "changes", "called", "arguments"),
    [
        ("quickstart", {}, "finetune.train", ("the command",)),
        ("quickstart", {"search": (("seed", 0, 1),)}, "search.search", ("the command",)),
        ("tapt_hubert", {}, "pretraining.run.pretrain", ("the command", None)),
        ("cpt_hubert", {}, "pretraining.alignment.align", ("the command",)),
    ],
)
def test_every_kind_goes_its_way(monkeypatch, name, changes, called, arguments):
    experiment = replace(serjax.experiment(name), **changes)
    monkeypatch.setattr(f"serjax.runs.{called}", lambda *given: {"given": given})
    assert run(experiment, "the command") == {"given": (experiment, *arguments)}


def test_a_page_names_the_call_of_the_library(monkeypatch):
    monkeypatch.setattr("serjax.runs.finetune.train", lambda experiment, command: {"command": command})
    assert run(serjax.experiment("bilstm")) == {"command": "serjax.run(experiment)  # bilstm"}


def test_alignment_has_no_single_steps():
    with pytest.raises(UserError, match="labels is a step of a pretraining, but steps is cpt; leave out labels"):
        run(serjax.experiment("cpt_hubert"), step="labels")
