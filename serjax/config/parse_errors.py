"""Sentences in place of the boxes that tyro prints of values that do not fit."""

import contextlib
import io
import itertools
import re
from collections.abc import Iterator

from serjax.runtime.errors import UserError

_PLAIN = (
    ("^Error parsing ", ""),
    (r"invalid literal for int\(\) with base 10: (.*)$", r"\1 is no whole number"),
    (r"could not convert string to float: (.*)$", r"\1 is no number"),
    ("^invalid choice (.*) for argument '(.*?)'", r"\2: there is no \1"),
    (r"\. Expected one of \((.*?),?\)$", r"; there are \1"),
    (r"no type matching \{None\}\|INT could be instantiated from \[(.*)\]$", r"\1 is no whole number, nor None"),
    (r"no type matching \{None\}\|FLOAT could be instantiated from \[(.*)\]$", r"\1 is no number, nor None"),
    (r"no type matching .*\[INT .* could be instantiated from \[(.*)\]$", r"\1: whole numbers are expected"),
    ("^Missing value for argument '(.*)'. Expected 1 values$", r"\1 has no value"),
    ("^Missing value for argument '(.*)'. Expected ([0-9]+) values$", r"\1 takes \2 values"),
)
"""Python's words, and those of a user."""


@contextlib.contextmanager
def tyro_sentences(prog: str) -> Iterator[None]:
    """Turn the box that tyro prints before it exits into a `UserError`; help is let through.

    Args:
        prog: the command, whose --help tells more.

    Raises:
        UserError: a value does not fit.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            yield
    except SystemExit as stopped:
        if stopped.code:
            raise UserError(f"{_sentence(said.getvalue())}; {prog} --help tells more.") from None
        raise


def _sentence(box: str) -> str:
    """Return the text of a box up to its first rule, in one line."""
    # A title, with a rule below it where the terminal has no lines to draw with, and then what was wrong.
    lines = [line.strip().strip("│╭╮╰╯").strip() for line in box.strip().splitlines()[1:]]
    said = itertools.dropwhile(lambda line: not line.strip("─-"), lines)
    text = " ".join(" ".join(itertools.takewhile(lambda line: line.strip("─-"), said)).split()).removesuffix(".")
    for pattern, plain in _PLAIN:
        text = re.sub(pattern, plain, text)
    return text or "a value does not fit"
