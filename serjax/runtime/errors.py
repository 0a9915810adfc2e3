"""The one error that users see as a sentence instead of a traceback."""


class UserError(Exception):
    """Bad input: the message says what was wrong, where, what was expected and what to do.

    Library code raises it with one clear sentence (a list of offending files may follow, one a line);
    the command-line entry points print that text alone and exit with status 2.
    """


def one_of(names: list[str], limit: int = 8) -> str:
    """Return names as `a, b, c and 5 more` for use in a message."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
