"""Resume points of stopped runs: the training state of the last epochs, written by Orbax while training continues.

All processes of a run write one folder, each what its devices hold.
"""

import contextlib
import errno
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from serjax.runtime.disk import unwritable
from serjax.runtime.distributed import from_first
from serjax.runtime.errors import UserError

PARTIAL = "partial"
"""Folder, in that of the states, of the state in the middle of an epoch."""


class _Manager(ocp.CheckpointManager):
    """Orbax's manager without its questions about preemption, which are asked once a step (`runtime.preemption`).

    JAX has one count of steps; numbers of epochs in between would have it name a step that is over, and nobody stops.
    """

    def reached_preemption(self, step: int) -> bool:
        """Return False."""
        return False


SECONDS = float(os.environ.get("SERJAX_SAVE_SECONDS", "10"))
"""Least time from one save to the next: epochs of a second would spend more on saving than on training."""


class ResumePoint:
    """Saves and restores a pytree of arrays after epochs; the last two are kept, in case one is half written."""

    def __init__(self, folder: Path) -> None:
        """Open or create the folder."""
        self._saved = time.monotonic()
        # Orbax wants absolute paths.
        self.folder = folder.absolute()
        self._epochs = self._manager(self.folder, 2)
        partial = from_first("resume point", (self.folder / PARTIAL).is_dir)
        self._partial = self._manager(self.folder / PARTIAL, 1) if partial else None

    @staticmethod
    def _manager(folder: Path, kept: int) -> ocp.CheckpointManager:
        options = ocp.CheckpointManagerOptions(max_to_keep=kept, enable_async_checkpointing=True)
        return _Manager(folder, options=options, item_handlers=ocp.StandardCheckpointHandler())

    def latest(self) -> int | None:
        """Return the last epoch saved when it was over, counted from 1; 0 for a part of the first."""
        return self._latest()[0]

    def _latest(self) -> tuple[int | None, bool]:
        """Return that epoch, and whether a state after it is saved, too; network file systems tell one process."""

        def look() -> tuple[int | None, bool]:
            epoch = self._epochs.latest_step()
            partial = None if self._partial is None else self._partial.latest_step()
            # A part of an epoch that is over counts no more.
            return (partial, True) if partial is not None and partial >= (epoch or 0) else (epoch, False)

        epoch, partial = from_first("resume point", look)
        return epoch, partial

    def restore(self, like: Any, folds: int | None = None) -> tuple[int, Any] | None:
        """Return the last epoch saved (counted from 1) and its pytree, laid out as the arrays of `like`; or None.

        Args:
            like: pytree of arrays.
            folds: of the leading axis of arrays, how many entries count: those beyond only fill up the mesh, and may be
                more or fewer than when it was saved. None: all shapes must be the same.

        Raises:
            UserError: what was saved is laid out otherwise, as another version of serjax saves it.
        """
        epoch, partial = self._latest()
        if epoch is None:
            return None
        manager = self._partial if partial else self._epochs
        assert manager is not None
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        other = UserError(
            f"{self.folder}: the state saved there is not one of this version of serjax; go on with the version "
            "that began the run, or give --overwrite to start it again."
        )
        pairs = _differing_shapes(manager.item_metadata(epoch), abstract)
        if not all(_differ_in_filling(old, new, folds) for old, new in pairs):
            raise other
        try:
            return epoch, manager.restore(epoch, args=ocp.args.StandardRestore(abstract, strict=not pairs))
        except ValueError as error:
            if "tree structures do not match" not in str(error):
                raise
            raise other from None

    def due(self) -> bool:
        """Return whether the last save, or the start, is at least `SECONDS` ago; every process must ask."""
        return from_first("resume point", lambda: time.monotonic() - self._saved >= SECONDS)

    def save(self, epoch: int, tree: Any, *, partial: bool = False) -> None:
        """Write the pytree in the background.

        Args:
            epoch: the last that is over.
            tree: arrays.
            partial: it is the state after a part of the next epoch.

        Raises:
            UserError: the disk is full, now or when the epoch before was written.
        """
        with self._sentence():
            if not partial:
                self._epochs.save(epoch, args=ocp.args.StandardSave(tree))
                self._saved = time.monotonic()
                return
            self._partial = self._partial or self._manager(self.folder / PARTIAL, 1)
            if self._partial.latest_step() == epoch:
                self._partial.delete(epoch)  # the same epoch was stopped before
            self._partial.save(epoch, args=ocp.args.StandardSave(tree))

    def close(self) -> None:
        """Wait for what is being written.

        Raises:
            UserError: the disk is full.
        """
        with self._sentence():
            for manager in (self._epochs, self._partial):
                if manager is not None:
                    manager.wait_until_finished()
                    manager.close()

    @contextlib.contextmanager
    def _sentence(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            # TensorStore reports what the system said as text in a ValueError.
            if "No space left" not in str(error):
                raise
            full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise unwritable(self.folder, full, "--out") from None


def keep_last(folder: Path) -> None:
    """Remove all that a closed `ResumePoint` has saved but the last epoch."""
    epochs = sorted((path for path in folder.iterdir() if path.name.isdecimal()), key=lambda path: int(path.name))
    for older in (*epochs[:-1], folder / PARTIAL):
        shutil.rmtree(older, ignore_errors=True)


def _differing_shapes(saved: Any, like: Any) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return the saved and the wanted shape of each array that has another; none where names differ, too."""
    stored = {leaf.name: leaf.shape for leaf in jax.tree.leaves(saved.tree, is_leaf=lambda x: hasattr(x, "name"))}
    wanted = {
        ".".join(str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", key)))) for key in path): leaf.shape
        for path, leaf in jax.tree_util.tree_leaves_with_path(like)
    }
    if stored.keys() != wanted.keys():
        return []
    return [(stored[name], wanted[name]) for name in wanted if stored[name] != wanted[name]]


def _differ_in_filling(old: tuple[int, ...], new: tuple[int, ...], folds: int | None) -> bool:
    """Return whether two shapes differ in nothing but how many folds fill up the mesh."""
    return folds is not None and len(old) == len(new) > 0 and old[1:] == new[1:] and min(old[0], new[0]) >= folds
