"""The command line of prediction: JSON where it is piped, a table on a terminal, notes on standard error."""

import json
import subprocess
import sys
from typing import get_args

import pytest

from serjax.inference.files import Answer
from serjax.models.functional import DType
from serjax.predict import PARSER, main
from serjax.runtime.errors import UserError

SCORES = [{"label": "happy", "score": 0.75}, {"label": "sad", "score": 0.25}]


class Ensemble:
    notes = ("A note on the model.",)
    outputs = "softmax"


@pytest.fixture
def answers(monkeypatch):
    """What the ensemble answers, to be filled."""
    found = []
    monkeypatch.setattr("serjax.inference.ensemble.load", lambda *given: Ensemble())
    monkeypatch.setattr("serjax.inference.files.answer", lambda ensemble, clips: iter(found))
    return found


def test_piped_answers_are_json_and_the_rest_is_on_standard_error(answers, capsys):
    answers += [Answer(SCORES, 16000, ()), Answer([], None, ("b.wav: it is empty.",)), Answer(SCORES, 8000, ("Old.",))]
    assert main(["run", "a.wav", "b.wav", "c.wav"]) == 2
    printed = capsys.readouterr()
    assert [json.loads(line) for line in printed.out.splitlines()] == [SCORES, [], SCORES]
    assert printed.err.splitlines() == [
        "A note on the model.",
        "b.wav: it is empty.",
        "Old.",
        "1 clip was resampled from 8000 Hz to 16000 Hz.",
    ]


def test_a_terminal_gets_a_table(answers, capsys, monkeypatch):
    answers.append(Answer(SCORES, 16000, ()))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["run", "a.wav"]) == 0
    assert "happy 75.0%" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["run"], ["run", "a.wav", "--audio", "b.wav"]])
def test_clips_are_named_in_one_way(arguments):
    with pytest.raises(UserError, match="no clip is named, or clips beside --audio and --video"):
        main(arguments)


def test_dtypes_are_those_of_the_models():
    (dtype,) = (action for action in PARSER._actions if action.dest == "dtype")
    assert tuple(dtype.choices) == get_args(DType)


@pytest.mark.parametrize("door", ["predict", "compare", "evaluate"])
def test_help_waits_for_no_large_package(door):
    code = (
        "import sys; from importlib import import_module\n"
        f"try: import_module('serjax.{door}').main(['--help'])\n"
        "except SystemExit: print(sorted({'jax', 'numpy', 'sklearn', 'matplotlib', 'tyro', 'av'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
