"""Where a killed run goes on: the training state of the last epochs, written by Orbax while training continues."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from serjax.disk import unwritable, write_text
from serjax.errors import UserError


class ResumePoint:
    """Saves and restores a pytree of arrays after each epoch; the last two are kept, in case one is half written."""

    def __init__(self, folder: Path, made_from: str, *, overwrite: bool = False) -> None:
        """Open or create the folder.

        Args:
            folder: where states are kept.
            made_from: fingerprint of all that a state rests on and that the experiment does not say: recordings,
                folds, pretrained weights, the layout on the devices.
            overwrite: delete what was saved from other things instead of raising.

        Raises:
            UserError: the states in the folder were made from something else.
        """
        # Orbax wants absolute paths.
        self.folder = folder.absolute()
        path = self.folder / "made_from.txt"
        if path.is_file() and path.read_text() != made_from:
            if not overwrite:
                raise UserError(
                    f"{self.folder.parent}: since this run was stopped, its recordings, folds or pretrained weights "
                    "changed, or it ran on other devices; restore them, choose another --name, or --overwrite to "
                    "start again."
                )
            self.delete()
        write_text(path, made_from)
        options = ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=True)
        self._manager = ocp.CheckpointManager(self.folder, options=options)

    def latest(self) -> int | None:
        """Return the last epoch saved, counted from 1."""
        return self._manager.latest_step()

    def restore(self, like: Any) -> tuple[int, Any] | None:
        """Return the last epoch saved (counted from 1) and its pytree, laid out as the arrays of `like`; or None."""
        epoch = self.latest()
        if epoch is None:
            return None
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        return epoch, self._manager.restore(epoch, args=ocp.args.StandardRestore(abstract))

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

    def delete(self) -> None:
        """Remove what was saved: the run is complete."""
        shutil.rmtree(self.folder, ignore_errors=True)
