"""Resume points of killed runs: the training state of the last epochs, written by Orbax while training continues."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from serjax.runtime.disk import unwritable
from serjax.runtime.errors import UserError


class ResumePoint:
    """Saves and restores a pytree of arrays after each epoch; the last two are kept, in case one is half written."""

    def __init__(self, folder: Path) -> None:
        """Open or create the folder."""
        # Orbax wants absolute paths.
        self.folder = folder.absolute()
        options = ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=True)
        self._manager = ocp.CheckpointManager(self.folder, options=options)

    def latest(self) -> int | None:
        """Return the last epoch saved, counted from 1."""
        return self._manager.latest_step()

    def restore(self, like: Any) -> tuple[int, Any] | None:
        """Return the last epoch saved (counted from 1) and its pytree, laid out as the arrays of `like`; or None.

        Raises:
            UserError: what was saved is laid out otherwise, as another version of serjax saves it.
        """
        epoch = self.latest()
        if epoch is None:
            return None
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        try:
            return epoch, self._manager.restore(epoch, args=ocp.args.StandardRestore(abstract))
        except ValueError as error:
            if not re.search("tree structures do not match|not compatible with the stored", str(error)):
                raise
            raise UserError(
                f"{self.folder}: the state saved there is not one of this version of serjax; go on with the version "
                "that began the run, or give --overwrite to start it again."
            ) from None

    def save(self, epoch: int, tree: Any) -> None:
        """Write the pytree in the background.

        Raises:
            UserError: the disk is full, now or when the epoch before was written.
        """
        with self._sentence():
            self._manager.save(epoch, args=ocp.args.StandardSave(tree))

    def close(self) -> None:
        """Wait for what is being written.

        Raises:
            UserError: the disk is full.
        """
        with self._sentence():
            self._manager.wait_until_finished()
            self._manager.close()

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
