"""The one error that users see as a sentence instead of a traceback."""


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


def reason(error: Exception) -> str:
    """Return why something failed, in the system's words without its number and path, which a message names itself."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


def one_of(names: list[str], limit: int = 8) -> str:
    """Return names as `a, b, c and 5 more` for use in a message."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
