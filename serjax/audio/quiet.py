"""Lines that libmpg123, inside libsndfile, writes to standard error of damaged MP3 files, kept from the terminal."""

import contextlib
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from typing import IO

_LINES = re.compile(
    rb"^(\[src/libmpg123/.*|Note: (Illegal Audio|Trying to resync|Skipped \d+ bytes|Hit end of).*|"
    rb"Warning: (Xing stream|Encountered more|.*gapless).*)\n",
    re.MULTILINE,
)
_lock = threading.Lock()
_readers = 0
_kept: tuple[int, IO[bytes]] | None = None


@contextlib.contextmanager
def without_mpg123(wanted: bool) -> Iterator[None]:
    """Keep libmpg123's lines from standard error; those of others, written meanwhile, come at the block's end.

    It offers no other way: libsndfile holds its handle. Threads share the redirection, which ends with the last block.

    Args:
        wanted: otherwise nothing is done.
    """
    if not wanted:
        yield
        return
    _begin()
    try:
        yield
    finally:
        _end()


def _begin() -> None:
    global _readers, _kept
    with _lock:
        if _readers == 0:
            _kept = None
            with contextlib.suppress(OSError):  # no standard error, or no room for a file: the lines are seen
                file = tempfile.TemporaryFile()  # noqa: SIM115
                _kept = os.dup(2), file
                os.dup2(file.fileno(), 2)
        _readers += 1


def _end() -> None:
    global _readers, _kept
    with _lock:
        _readers -= 1
        if _readers or _kept is None:
            return
        (own, file), _kept = _kept, None
        os.dup2(own, 2)
        os.close(own)
        with file:
            file.seek(0)
            rest = _LINES.sub(b"", file.read())
        with contextlib.suppress(OSError):
            if rest:
                os.write(2, rest)
