"""Writing that happens whole or not at all, and says in a sentence why it could not."""

import contextlib
import errno
import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import filelock
from rich.filesize import decimal

from serjax.runtime.errors import UserError

log = logging.getLogger(__name__)

_STALE = 3600.0
"""Seconds without a write after which an unfinished folder counts as left by a program that was killed."""
_FORGOTTEN = 7 * 86_400.0
"""Seconds without a write after which nobody is expected to go on with an unfinished folder."""


@contextlib.contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield a new folder beside `target` to write into, which is renamed to `target` when the block ends well.

    Whatever ends the block otherwise removes it; what a kill leaves is removed by a later call for the same target.
    Where another process was faster, its `target` stays and this folder goes.

    Args:
        target: a folder that does not exist yet; its parents are made.

    Raises:
        OSError: the folder cannot be made or renamed.
    """
    prefix = f".{target.name}.unfinished-"
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(target.parent.glob(f"{prefix}*"), _STALE)
    folder = target.parent / f"{prefix}{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    try:
        yield folder
        try:
            folder.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your share of the disk is full",
    errno.EFBIG: "the file is larger than the file system or the system's limit allows",
}


def make_once(target: Path, make: Callable[[Path], None], option: str, last: str) -> None:
    """Make the folder `target` unless it is there; a call that was stopped is gone on with by the next one.

    One process makes it, others wait. Until it is complete it is called `NAME.part`; those that nobody went on with for
    a week are removed.

    Args:
        target: the folder; its parents are made.
        make: fills the unfinished folder that it is given, which may hold what a call left that was stopped.
        option: command-line option that chooses the folder, for messages.
        last: file that `make` writes last.

    Raises:
        UserError: the folder cannot be made or renamed.
    """
    if target.is_dir():
        return
    unfinished = target.with_name(f"{target.name}.part")
    with contextlib.ExitStack() as held:
        with disk_errors(target.parent, option):
            target.parent.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(target.parent / f".{target.name}.lock")
            try:
                lock.acquire(blocking=False)
            except filelock.Timeout:
                log.info(f"{target}: another process is making it; this one waits.")
                lock.acquire()
            held.callback(lock.release)
            if target.is_dir():
                return
            unfinished.mkdir(exist_ok=True)
            _remove_stale((path for path in target.parent.glob("*.part") if path != unfinished), _FORGOTTEN)
        if not (unfinished / last).is_file():
            make(unfinished)
        with disk_errors(target.parent, option):
            unfinished.rename(target)


def unwritable(folder: Path, error: OSError, option: str, needed: int | None = None) -> UserError:
    """Return the error that says why `folder` cannot be written, and that `option` names another.

    Args:
        folder: where something was to be written.
        error: what the system said.
        option: the command-line option that chooses the folder.
        needed: bytes that are still to be written, where that is known.
    """
    if error.errno not in _FULL:
        return UserError(f"{folder}: it cannot be written ({error.strerror}); choose another folder with {option} DIR.")
    disk = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    size = f"about {decimal(needed)} are needed, " if needed else ""
    return UserError(
        f"{folder}: {_FULL[error.errno]} ({size}{decimal(shutil.disk_usage(disk).free)} are free); make room or choose "
        f"a folder on another disk with {option} DIR."
    )


def room(folder: Path, needed: int) -> None:
    """See that the disk of a folder that exists has room for so many bytes.

    Raises:
        OSError: ENOSPC, as writing them would.
    """
    if needed > shutil.disk_usage(folder).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _remove_stale(folders: Iterable[Path], seconds: float) -> None:
    """Remove the folders into which nobody has written for so long."""
    for folder in folders:
        with contextlib.suppress(OSError):  # its owner may be renaming it this moment
            last = max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
            if time.time() - last > seconds:
                shutil.rmtree(folder)


@contextlib.contextmanager
def disk_errors(path: Path, option: str) -> Iterator[None]:
    """Turn a full disk or a forbidden folder met while writing `path` into a `UserError` that names `option`."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error, option) from None


def write_text(path: Path, text: str, option: str = "--out") -> None:
    """Write a file under a temporary name and rename it, so that a reader never sees half of it.

    Args:
        path: of the file; its parents are made.
        text: the contents.
        option: command-line option that chooses the folder, for messages.

    Raises:
        UserError: it cannot be written.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with disk_errors(path, option):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(text, encoding="utf-8")
            os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def link(source: Path | str, target: Path | str) -> None:
    """Give a file a second name, or copy it where the file system has no such thing.

    Raises:
        OSError: it can be neither linked nor copied.
    """
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
