"""Arrays that the processes of a run make together: each makes a part in a folder of its own, the first joins them."""

import contextlib
import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import filelock

from serjax.data.store.ragged import INDEX, make_once
from serjax.runtime import distributed
from serjax.runtime.errors import UserError, one_of
from serjax.runtime.shared_folder import blind_processes, wait_for

log = logging.getLogger(__name__)

_told: set[Path] = set()
"""Folders of which the log has said that they are not shared."""


def work_together(folder: Path) -> bool:
    """Return whether there are several processes and all of them see `folder`; where they do not, the log says so once.

    All of them must ask.

    Args:
        folder: of arrays, below that of the cache; made where it is missing.

    Raises:
        UserError: the first process cannot write there.
    """
    if not distributed.several():
        return False
    blind = [str(i) for i in blind_processes(folder, 15.0, option="--data.cache")]
    if blind and folder.parent not in _told:
        _told.add(folder.parent)
        log.info(
            f"process{'es' * (len(blind) > 1)} {one_of(blind)} cannot see {folder.parent} of process 0: clips are "
            "decoded once on each machine; --data.cache names a folder that all machines share."
        )
    return not blind


def make_together(
    target: Path,
    own: Callable[[int, int], range],
    fill: Callable[[Path, range], None],
    join: Callable[[Path, Sequence[Path]], None],
    option: str,
    *,
    begin: Callable[[Path], int] = lambda unfinished: 0,
    name: str = "",
) -> None:
    """Make the array in the folder `target`, which all processes see, unless it is there; all of them must call it.

    A part is called `NAME.I-of-N`, and is gone on with where a call was stopped; parts of another number of processes
    are removed. The first process holds the lock of `target` all the while, so that parts are of one run alone.

    Args:
        target: the folder.
        own: returns the steps of process I of N.
        fill: makes a part in the unfinished folder that it is given, of these steps.
        join: makes the array in the unfinished folder that it is given from finished parts. It may remove each that it
            has read; parts without steps, or whose steps are all there, may be missing.
        option: command-line option that chooses the folder, for messages.
        begin: looks at the unfinished folder before all else; returns how many steps of the array are there.
        name: of this division of the steps, in the names of parts.

    Raises:
        UserError: of `fill` or `join`; or the folder cannot be written, or is not shared.
    """
    index, count = distributed.index(), distributed.count()
    parts = [target.with_name(f"{target.name}.{name}{i}-of-{count}") for i in range(count)]

    def needed(part: int, done: int) -> bool:
        steps = own(part, count)
        return len(steps) > 0 and steps[-1] >= done

    def make_own(done: int) -> None:
        if needed(index, done):
            make_once(parts[index], lambda unfinished: fill(unfinished, own(index, count)), option)
        distributed.wait_for_all("parts")

    told = False

    def make(unfinished: Path) -> None:
        nonlocal told
        remove_parts(target, parts)
        done = begin(unfinished)
        told = True
        make_own(distributed.from_first("parts", lambda: done))
        for i, part in enumerate(parts):
            if needed(i, done):
                _see(part)
        join(unfinished, parts)
        remove_parts(target)

    if distributed.first():
        make_once(target, make, option)
        if not told:
            distributed.from_first("parts", lambda: None)
    else:
        found: int | None = distributed.from_first("parts", lambda: None)
        if found is not None:
            make_own(found)
    distributed.wait_for_all("joined parts")
    _see(target)


def _see(array: Path) -> None:
    """Wait until this machine sees an array that another process finished."""
    if not wait_for(array / INDEX):
        raise UserError(
            f"{array}: process {distributed.index()} does not see what another process has written there; choose a "
            "folder that all machines share, or that none do, with --data.cache DIR."
        )


def remove_parts(target: Path, kept: Sequence[Path] = ()) -> None:
    """Remove the parts of an array, finished or not, whose lock this process or nobody holds.

    Args:
        target: folder of the array.
        kept: parts that stay.
    """
    stay = {part.name for part in kept}
    for path in target.parent.glob(f"{target.name}.*-of-*"):
        part = path.name.removesuffix(".part")
        lock = target.parent / f".{part}.lock"
        if part in stay:
            continue
        with contextlib.suppress(OSError, filelock.Timeout), filelock.FileLock(lock, timeout=0):
            shutil.rmtree(path, ignore_errors=True)
    for lock in target.parent.glob(f".{target.name}.*-of-*.lock"):
        if not stay and not any(target.parent.glob(f"{lock.name[1:].removesuffix('.lock')}*")):
            with contextlib.suppress(OSError):
                lock.unlink()
