"""Writing that either happens whole or leaves a sentence."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from serjax.errors import UserError


@contextlib.contextmanager
def disk_errors(path: Path, remedy: str) -> Iterator[None]:
    """Turn a full disk or a forbidden folder met while writing `path` into a `UserError` that names `remedy`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(f"{path}: the disk is full; free some space, or write elsewhere with {remedy}.") from None
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise UserError(
                f"{path}: it may not be written ({error.strerror}); write elsewhere with {remedy}."
            ) from None
        raise


def write_text(path: Path, text: str) -> None:
    """Write a file under a temporary name and rename it, so that a reader never sees half of it."""
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with disk_errors(path, "--out DIR"):
            temporary.write_text(text, encoding="utf-8")
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
