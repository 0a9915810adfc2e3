"""Pointers that Git LFS leaves in the place of large files until they are fetched."""

from pathlib import Path

from serjax.runtime.errors import UserError

_BEGINNING = b"version https://git-lfs.github.com/spec/"


def refuse_pointer(path: Path, what: str) -> None:
    """Refuse a file that is such a pointer.

    Args:
        path: of the file.
        what: the file should be, such as `the recording`.

    Raises:
        UserError: it is a pointer.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(len(_BEGINNING))
    if head == _BEGINNING:
        raise UserError(f"{path}: it is a pointer of Git LFS, not {what}; fetch that with `git lfs pull`.")
