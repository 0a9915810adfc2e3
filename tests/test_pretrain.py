"""The command line of pretraining: one of its steps may be named first."""

import pytest

from serjax.pretrain import main


@pytest.mark.parametrize("step", [None, "labels", "masked"])
def test_a_step_may_be_named(monkeypatch, step):
    given = []
    monkeypatch.setattr(
        "serjax.runs.run.run", lambda experiment, command, step: given.append((experiment, command, step))
    )
    argv = [*([step] if step else []), "--exp", "tapt_hubert", "--seed", "7"]
    assert main(argv) == 0
    ((experiment, command, asked),) = given
    assert (experiment.name, experiment.seed, asked) == ("tapt_hubert", 7, step)
    assert command == f"python -m serjax.pretrain {' '.join(argv)}"
