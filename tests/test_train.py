"""The command line of training: options reach the run, and its table is printed."""

import os
import subprocess
import sys

import pytest

from serjax.runtime.errors import UserError
from serjax.train import main


def test_options_are_laid_over_the_experiment(monkeypatch, capsys):
    given = []

    def run(experiment, command):
        given.append((experiment, command))
        return {"scores": 1}

    monkeypatch.setattr("serjax.evaluation.tables.score_tables", lambda report: f"the table of {report}")
    monkeypatch.setattr("serjax.runs.run.run", run)
    assert main(["--exp", "quickstart", "--train.epochs", "3", "--name", "a b"]) == 0
    ((experiment, command),) = given
    assert (experiment.name, experiment.train.epochs) == ("a b", 3)
    assert command == "python -m serjax.train --exp quickstart --train.epochs 3 --name 'a b'"
    printed = capsys.readouterr().out
    assert printed.startswith("Experiment: ")
    assert "the table of {'scores': 1}" in printed


def test_run_is_uploaded_when_it_has_ended(monkeypatch, tmp_path):
    done = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("serjax.evaluation.tables.score_tables", lambda report: "")
    monkeypatch.setattr("serjax.runs.push.check_target", lambda to: done.append(f"checked {to}"))
    monkeypatch.setattr("serjax.runs.run.run", lambda experiment, command: done.append("trained") or {})
    monkeypatch.setattr("serjax.runs.push.push", lambda run, to: done.append(f"pushed {run.name} to {to}"))
    options = ["--exp", "quickstart", "--push-to-hub", "me/voices"]
    assert main(options) == 0
    assert done == ["checked me/voices", "trained", "pushed quickstart to me/voices"]

    def refuse(run, to):
        raise UserError("the hub is out of reach.")

    monkeypatch.setattr("serjax.runs.push.push", refuse)
    later = r"reach\. The run is finished; python -m serjax.push checkpoints/quickstart --to me/voices uploads it"
    with pytest.raises(UserError, match=later):
        main(options)
    with pytest.raises(UserError, match="push_to_hub is given with a job or a search"):
        main([*options, "--search", "seed", "0", "1"])


def test_a_look_before_training_trains_nothing(monkeypatch, capsys):
    seen = []
    monkeypatch.setattr("serjax.runs.dry_run.dry_run", lambda experiment: seen.append(experiment) or ["the look"])
    monkeypatch.setattr("serjax.runs.run.run", None)
    assert main(["--dry-run", "--exp", "quickstart", "--train.epochs", "3"]) == 0
    assert seen[0].train.epochs == 3
    assert "the look" in capsys.readouterr().out


def test_a_search_is_asked_for_by_fields_and_values(monkeypatch, capsys):
    scores = {"validation_macro_f1": 0.5, "wa": 0.5, "ua": 0.5, "macro_f1": 0.5}

    def run(experiment, command):
        assert experiment.search == (("seed", "0", "1"), ("optimizer.max_lr", "1e-4"))
        return {"search": [{"values": {"seed": 0, "optimizer.max_lr": 1e-4}, "run": "x", **scores}]}

    monkeypatch.setattr("serjax.runs.run.run", run)
    assert main(["--exp", "quickstart", "--search", "seed", "0", "1", "--search", "optimizer.max_lr", "1e-4"]) == 0
    assert "|  | optimizer.max_lr | seeds | validation macro-F1 |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "--exp is missing"),
        (["--exp", "nope"], "there is no such experiment"),
        (["--exp", "nope.py"], "there is no such file"),
        (["--exp", "cpt_hubert"], "it is for serjax.pretrain"),
        (["--exp", "quickstart", "--dry-rnu"], "--dry-rnu: there is no such option; did you mean --dry-run"),
        (["--exp", "hubert_kfold", "--data.root", "/nowhere"], "there is no such folder"),
        (["--exp", "hubert_kfold", "--train.epochs", "0"], r"train\.epochs is 0; it must be 1 or more"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(arguments, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=expected) as raised:
        main([*arguments, *(["--out", str(tmp_path)] if arguments else [])])
    assert "\n" not in str(raised.value)


def test_a_mistyped_experiment_is_one_line_and_status_2():
    command = [sys.executable, "-m", "serjax.train", "--exp", "nope"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "200"})
    assert done.returncode == 2
    assert "there is no such experiment" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_help_is_a_page_and_all_of_it_on_request(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    page = capsys.readouterr().out
    assert stopped.value.code == 0
    assert len(page.splitlines()) <= 50
    assert "--help all" in page
    with pytest.raises(SystemExit) as stopped:
        main(["--exp", "bilstm", "--model.family", "audio_cnn", "--help", "all"])
    whole = capsys.readouterr().out
    assert stopped.value.code == 0
    for text in (
        "--dry-run",
        "--data.root",
        "--folds.validation",
        "--optimizer.max-lr",
        "Decides folds",
        "efficientnet: dropout",
    ):
        assert text in whole
