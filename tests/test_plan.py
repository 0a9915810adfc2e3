"""The command line of a plan: its own options and those of an experiment reach it, and its tables are printed."""

import pytest

from serjax.models.speech import Speech
from serjax.plan import main
from serjax.runtime.errors import UserError


def test_options_reach_the_plan(monkeypatch, capsys):
    given = {}

    def plan(experiment, on, **others):
        given.update(experiment=experiment, on=on, **others)
        return "the tables"

    monkeypatch.setattr("serjax.runs.planning.run.plan", plan)
    options = ["--on", "v5e-16", "--sweep", "--clips", "99", "--count-only", "--utilization", "0.5"]
    assert main(["--exp", "hubert_kfold", *options, "--model.size", "large", "--train.batch-size", "8"]) == 0
    experiment = given.pop("experiment")
    assert isinstance(experiment.model, Speech)
    assert (experiment.model.size, experiment.train.batch_size) == ("large", 8)
    assert given == {
        "on": "v5e-16",
        "mesh": None,
        "every_mesh": True,
        "compile": False,
        "clips": 99,
        "utilization": 0.5,
    }
    assert "the tables" in capsys.readouterr().out


def test_a_plan_needs_a_topology():
    with pytest.raises(UserError, match="--on"):
        main(["--exp", "hubert_kfold"])


@pytest.mark.parametrize(("option", "meant"), [("--sweeep", "--sweep"), ("--train.batchsize", "--train.batch-size")])
def test_a_mistyped_option_is_answered_with_the_plans_or_the_experiments(option, meant):
    with pytest.raises(UserError, match=f"{option}: there is no such option; did you mean {meant}?"):
        main(["--exp", "hubert_kfold", "--on", "v5e-8", option])


def test_help_names_the_options(capsys):
    assert main(["--help"]) == 0
    assert "--sweep" in capsys.readouterr().out
