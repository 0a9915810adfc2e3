"""The command line of training: options reach the run, and its table is printed."""

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


def test_a_search_is_asked_for_by_fields_and_values(monkeypatch, capsys):
    scores = {"validation_macro_f1": 0.5, "wa": 0.5, "ua": 0.5, "macro_f1": 0.5}

    def run(experiment, command):
        assert experiment.search == (("seed", "0", "1"), ("optimizer.max_lr", "1e-4"))
        return {"search": [{"values": {"seed": 0, "optimizer.max_lr": 1e-4}, "run": "x", **scores}]}

    monkeypatch.setattr("serjax.runs.run.run", run)
    assert main(["--exp", "quickstart", "--search", "seed", "0", "1", "--search", "optimizer.max_lr", "1e-4"]) == 0
    assert "| seed | optimizer.max_lr | validation macro-F1 |" in capsys.readouterr().out
