"""Folders that the processes of a run share, or each has of its own, as their file systems have it."""

import contextlib
import time
import uuid
from pathlib import Path

from serjax.runtime import distributed
from serjax.runtime.disk import write_text

WITHIN = 60.0
"""Seconds after which a network file system shows what another machine has written."""

_known: dict[tuple[Path, float], list[int]] = {}
"""Answers of this run, in process 0; a process that sees nothing makes all others wait, once."""


def blind_processes(folder: Path, within: float = WITHIN, *, option: str = "--out") -> list[int]:
    """Return the numbers of the processes that do not see what process 0 writes into a folder; all of them must ask.

    A folder is looked into once a run: process 0 remembers the answer.

    Args:
        folder: made where it is missing.
        within: seconds to look for it.
        option: command-line option that chooses the folder, for messages.

    Raises:
        UserError: process 0 cannot write there.
    """
    if not distributed.several():
        return []

    def write() -> str | list[int]:
        if (folder, within) in _known:
            return _known[folder, within]
        token = uuid.uuid4().hex
        write_text(folder / f".seen-by-all-{token}", token, option)
        return token

    told = distributed.from_first("shared folder", write)
    if isinstance(told, list):
        return told
    path = folder / f".seen-by-all-{told}"
    seen = wait_for(path, within)
    answers = distributed.exchange("shared folder", "yes" if seen else "no")
    if distributed.first():
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
    blind = [i for i, answer in enumerate(answers) if answer == "no"]
    _known[folder, within] = blind
    return blind


def wait_for(path: Path, within: float = WITHIN) -> bool:
    """Wait until this machine sees a file that another process has written; return whether it does.

    Args:
        path: of the file.
        within: seconds to look for it.
    """
    until = time.monotonic() + within
    while not (seen := path.is_file()) and time.monotonic() < until:
        time.sleep(0.2)
    return seen
