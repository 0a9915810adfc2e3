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
