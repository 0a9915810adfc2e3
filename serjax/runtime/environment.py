"""Surroundings of a command: home and cache folders, and an output that may be closed, full, or of another encoding."""

import io
import os
import sys
import tempfile
from collections.abc import Sequence

from serjax.runtime.errors import UserError, reason


def cache_folder() -> str:
    """Return the folder of compiled programs: SERJAX_CACHE, or one in the user's cache folder.

    Raises:
        UserError: it cannot be written.
    """
    named = os.environ.get("SERJAX_CACHE") or os.environ.get("XDG_CACHE_HOME")
    folder = os.path.expanduser(named or "~/.cache")
    if not os.environ.get("SERJAX_CACHE"):
        folder = os.path.join(folder, "serjax", "xla")
    try:
        if folder.startswith("~"):
            raise OSError(None, "there is no home folder")
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder}: compiled programs cannot be kept there ({reason(error)}), so that each start compiles anew; "
            "set SERJAX_CACHE to a folder that can be written."
        ) from None


def with_home(argv: Sequence[str]) -> list[str]:
    """Return arguments in which a leading ~ is the home folder, after an = too, where shells leave it as it is.

    Raises:
        UserError: there is no such home folder.
    """
    found = []
    for argument in argv:
        option, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
        if value == "~" or value.startswith("~/"):
            value = os.path.expanduser(value)
            if value.startswith("~"):
                raise UserError(f"{argument}: there is no home folder for ~; set HOME, or give the whole path.")
        found.append(option + equals + value)
    return found


def show_any_text() -> None:
    """Let no name stop a command: what the output's encoding does not have is shown as an escape."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # the shell has closed it
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 as long as the process
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def output_lost(error: OSError) -> str | None:
    """Return why standard output cannot be written, if it is that which failed; it is closed then."""
    if error.filename is not None:
        return None
    try:
        # What could not be written is dropped by then, and a flush alone would find nothing to do.
        sys.stdout.write("\n")
        sys.stdout.flush()
    except OSError as again:
        # Python would fail once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return reason(again)
    return None
