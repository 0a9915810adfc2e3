"""Values that tyro refuses end in one sentence, and help is let through."""

import re
from dataclasses import dataclass
from typing import Literal

import pytest
import tyro

from serjax.config.parse_errors import tyro_sentences
from serjax.runtime.errors import UserError


@dataclass
class Settings:
    kind: Literal["class", "soft"] = "class"
    epochs: int = 1
    rate: float = 0.5
    layer: int | None = None
    highpass: float | None = None
    only: tuple[int, ...] | None = None
    pair: tuple[float, float] = (0.0, 1.0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--kind softt", "--kind: there is no 'softt'; there are 'class', 'soft'; train --help tells more."),
        ("--epochs two", "--epochs: 'two' is no whole number; train --help tells more."),
        ("--rate x", "--rate: 'x' is no number; train --help tells more."),
        ("--epochs", "--epochs has no value; train --help tells more."),
        ("--layer 1.5", "--layer: '1.5' is no whole number, nor None; train --help tells more."),
        ("--highpass x", "--highpass: 'x' is no number, nor None; train --help tells more."),
        ("--only 1 x", "--only: '1', 'x': whole numbers are expected; train --help tells more."),
        ("--pair 3", "--pair takes 2 values; train --help tells more."),
        ("maybe", "Unrecognized options: maybe; train --help tells more."),
    ],
)
def test_a_value_that_does_not_fit_gets_a_sentence(arguments, sentence, capsys):
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"), tyro_sentences("train"):
        tyro.cli(Settings, args=arguments.split(), prog="train")
    assert not capsys.readouterr().err


def test_help_is_let_through(capsys):
    with pytest.raises(SystemExit) as stopped, tyro_sentences("train"):
        tyro.cli(Settings, args=["--help"])
    assert not stopped.value.code
    assert "--epochs" in capsys.readouterr().out
