"""The one error that users see as a sentence instead of a traceback, and texts that are safe to show in it."""

import re
from typing import Any


class UserError(Exception):
    """Bad input: the message says what was wrong, where, what was expected and what to do.

    Library code raises it with one clear sentence (a list of offending files may follow, one a line);
    the command-line entry points print that text alone and exit with status 2.
    """


class MissingPackage(UserError):
    """A package of an extra is not installed: nothing is wrong with any clip, so none is skipped for it."""

    def __init__(self, package: str, extra: str, task: str) -> None:
        """Tell that `task`, such as "Videos are decoded", needs a package, and which extra of serjax has it."""
        super().__init__(f"{task} by {package}, which is not installed; pip install 'serjax[{extra}]'.")


_LONGEST = 200
"""Characters of another program's message, or of a value from a file, that a sentence of ours takes over."""

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that a terminal obeys, that turn or break lines, and half characters, as names of files may have."""


def printable(text: str) -> str:
    r"""Return a text that is safe on a terminal: what it would obey is shown as an escape such as \x1b.

    Tabs and line feeds stay.
    """
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), text)


def readable(name: str) -> str:
    r"""Return the name of a file as text, which it need not be: its UTF-8 in any locale, other bytes as in \xff."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def brief(value: Any) -> str:
    """Return a value of unknown origin, or an error with its kind, on one short line.

    Only plain values are shown: the text of nested ones may take for ever to write.
    """
    if isinstance(value, BaseException):
        said = _said(value)
        text = f"{type(value).__name__}: {said}" if said else type(value).__name__
    elif value is None or isinstance(value, (str, float)) or (isinstance(value, int) and abs(value) < 2**64):
        text = str(value)
    else:
        text = f"a {type(value).__name__}"
    text = printable(text.replace("\n", " "))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _said(error: BaseException) -> str:
    """Return what an error says in its first line, if it says it in plain values."""
    plain = isinstance(error, (OSError, UnicodeError)) or all(isinstance(one, (str, float)) for one in error.args)
    return str(error).strip().partition("\n")[0] if plain else ""


def reason(error: Exception) -> str:
    """Return why something failed, in the system's words without its number and path, which a message names itself."""
    if isinstance(error, UserError):
        return str(error)
    return brief((isinstance(error, OSError) and error.strerror) or _said(error) or type(error).__name__)


def one_of(names: list[str], limit: int = 8) -> str:
    """Return names as `a, b, c and 5 more` for use in a message."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
