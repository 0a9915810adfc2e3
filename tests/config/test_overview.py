"""The short help: its options exist, its commands are accepted, every experiment has its line."""

import shlex

import pytest

from serjax.config.experiment import Experiment
from serjax.config.options import field_name, option_names, refuse_unknown
from serjax.config.overview import ACTIONS, EXAMPLES, USED, overview, summary
from serjax.config.pretraining import PretrainExperiment
from serjax.config.registry import locate, names, read
from serjax.runtime.errors import UserError

KINDS = [Experiment, PretrainExperiment]


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")


@pytest.mark.parametrize("kind", KINDS)
def test_options_that_are_shown_exist(kind):
    fields = {field_name(option.split()[0]) for option, _ in USED[kind] if option not in ACTIONS}
    assert fields <= option_names(kind("x"))


@pytest.mark.parametrize("kind", KINDS)
def test_examples_are_commands_that_are_accepted(kind):
    for example in EXAMPLES[kind]:
        first, name, *rest = shlex.split(example)
        assert first == "--exp"
        refuse_unknown(read(locate(name, kind), kind), rest)


@pytest.mark.parametrize("kind", KINDS)
def test_every_experiment_has_a_line_of_its_docstring(kind):
    page = overview("python -m serjax.x", kind, None)
    lines = page.splitlines()
    for name in names(kind):
        (line,) = [line for line in lines if line.startswith(f"  {name} ")]
        assert summary(locate(name, kind)).startswith(line.split(None, 1)[1].removesuffix(" ..."))
    assert max(map(len, lines)) <= 104  # two examples of serjax.pretrain are longer than the terminal


def test_an_experiments_own_values_are_shown_and_other_families_options_are_not():
    page = overview("python -m serjax.train", Experiment, "bilstm")
    assert "[60]" in next(line for line in page.splitlines() if "--train.epochs" in line)
    assert "--model.checkpoint" not in page
    assert "bilstm: A BiLSTM on 312 hand-made values" in page
    assert "--model.checkpoint" in overview("python -m serjax.train", Experiment, "hubert_kfold")


def test_an_unknown_experiment_is_refused_in_help_too():
    with pytest.raises(UserError, match="did you mean bilstm"):
        overview("python -m serjax.train", Experiment, "bilsm")


@pytest.mark.parametrize("text", ["x = (", "x = 1"])
def test_a_file_without_a_docstring_has_no_summary(tmp_path, text):
    (tmp_path / "mine.py").write_text(text)
    assert summary(tmp_path / "mine.py") == ""
