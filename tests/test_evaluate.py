"""The command line of an evaluation: its options reach the evaluation, and its report is printed."""

from pathlib import Path

import numpy as np
import pytest

from serjax.data.config import DataConfig
from serjax.evaluate import main
from serjax.evaluation.out_of_fold import OutOfFold
from serjax.evaluation.report import evaluation_report
from serjax.runtime.errors import UserError


def test_options_become_settings_and_the_report_is_printed(monkeypatch, capsys):
    answers = OutOfFold(
        ("a", "b"), np.ones(2, int), np.array([0, 1]), np.eye(2, dtype=np.float32), ("x", "y"), ("p", "q")
    )
    given = {}

    def evaluate(source, data, **others):
        given.update(source=source, data=data, **others)
        return evaluation_report(answers, name="run on clips", seed=0, notes=["A note."])

    monkeypatch.setattr("serjax.runs.evaluate.evaluate", evaluate)
    options = ["--data.root", "clips", "--data.labels", "p", "q", "--data.skip-bad", "--dtype", "bfloat16"]
    options += ["--highpass", "20", "--head", "--raw", "--only", "p,q"]
    assert main(["run", *options, "--weights", "1", "0", "--out", "there"]) == 0
    assert given.pop("data") == DataConfig(root="clips", labels=("p", "q"), skip_bad=True)
    assert given.pop("command").startswith("python -m serjax.evaluate run --data.root clips")
    assert given == {
        "source": "run",
        "out": Path("there"),
        "weights": [1.0, 0.0],
        "dtype": "bfloat16",
        "highpass": 20.0,
        "long_clips": "head",
        "raw": True,
        "only": ("p", "q"),
        "task": None,
        "layer_sum": None,
        "ranges": (),
        "seed": 0,
        "overwrite": False,
    }
    printed = capsys.readouterr().out
    assert "100.0" in printed
    assert "A note." in printed


def test_a_root_is_needed():
    with pytest.raises(UserError, match=r"--data\.root"):
        main(["run"])
