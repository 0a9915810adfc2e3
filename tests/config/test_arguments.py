"""Options of commands: a mistyped one is answered with the nearest; an ensemble's options have defaults."""

import pytest

from serjax.config import arguments
from serjax.runtime.errors import UserError


@pytest.mark.parametrize(
    ("argument", "answer"),
    [("--jsn", "did you mean --json?"), ("--zz", "there are --help, --json."), ("--js", "did you mean --json?")],
)
def test_a_mistyped_option_is_answered_with_the_nearest(argument, answer):
    parser = arguments.Parser(prog="x")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("clips", nargs="*")
    assert parser.parse_args(["--json", "a", "--", "--b"]).clips == ["a", "--b"]
    with pytest.raises(UserError) as raised:
        parser.parse_args(["a", argument])
    assert str(raised.value) == f"{argument}: there is no such option; {answer}"


@pytest.mark.parametrize(("given", "expected"), [([], "windows"), (["--head"], "head"), (["--whole"], "whole")])
def test_long_clips_are_answered_by_windows_unless_asked_otherwise(given, expected):
    parser = arguments.Parser(prog="x")
    arguments.add_ensemble_options(parser)
    assert parser.parse_args(given).long_clips == expected


def test_options_may_stand_between_paths():
    parser = arguments.Parser(prog="predict")
    parser.add_argument("model")
    parser.add_argument("clips", nargs="*")
    parser.add_argument("--task")
    found = parser.parse_args(["run", "--task", "avd", "a.wav", "b.wav"])
    assert (found.model, found.task, found.clips) == ("run", "avd", ["a.wav", "b.wav"])


def test_a_value_that_does_not_fit_gets_a_sentence_without_usage(capsys):
    parser = arguments.Parser(prog="predict")
    parser.add_argument("--top", type=int)
    with pytest.raises(UserError, match=r"^--top: invalid int value: 'x'; predict --help tells more\.$"):
        parser.parse_args(["--top", "x"])
    assert not capsys.readouterr().err


def test_the_root_of_training_is_an_argument_of_its_own_here():
    parser = arguments.Parser(prog="look")
    parser.add_argument("root")
    parser.add_argument("--data.audio-root")
    with pytest.raises(UserError, match=r"--data\.root: here the folder or list is given by itself; look DIR\."):
        parser.parse_args(["--data.root", "x"])
