"""Frames for clustering: a memory-mapped file or an array, handed to the devices in batches and chunks."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from serjax.runtime.errors import UserError
from serjax.runtime.mesh import make_mesh, sharding

_SHARE = 0.5
"""Frames move to an accelerator as a whole where they fill no more than this share of its memory."""


Rows = Int[np.ndarray, "b"] | slice
"""Some rows of a table, or a run of them."""


class Frames(Protocol):
    """A table of frames [n d]: an array, a memory-mapped file, or rows of one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of frames, and of values of each."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Rows, /) -> Float[np.ndarray, "b d"]:
        """Return some rows."""


class FrameSource:
    """Frames [n d], whose batches and chunks are spread over the mesh's data axis.

    On an accelerator frames that fit live there; otherwise they are read as they are needed, the next ones while the
    device computes.
    """

    def __init__(self, frames: Frames, mesh: Mesh | None = None) -> None:
        """Look at the frames' shape, and place them where they fit.

        Raises:
            UserError: it is no table of frames.
        """
        if len(frames.shape) != 2 or not len(frames):
            raise UserError(f"Frames to cluster have the shape {frames.shape}; give a table [frames, values] of some.")
        self.frames = frames
        self.mesh = make_mesh(1, jax.local_device_count(), jax.local_devices()) if mesh is None else mesh
        self.devices = self.mesh.shape["data"]
        self._rows = sharding(self.mesh, "data")
        self._resident = self._place() if _fits(frames, self.mesh) else None
        self._take = jax.jit(lambda frames, rows: frames[rows], out_shardings=self._rows)

    def __len__(self) -> int:
        return len(self.frames)

    def whole(self, rows: int) -> int:
        """Return `rows`, rounded up to what the devices share evenly."""
        return -(-rows // self.devices) * self.devices

    def take(self, rows: Rows) -> Float[Array, "b d"]:
        """Return the frames of these rows; their number must be a multiple of `devices`."""
        if self._resident is not None:
            return self._take(self._resident, rows)
        return jax.device_put(np.asarray(self.frames[rows], np.float32), self._rows)

    def batches(self, rows: Iterator[Rows]) -> Iterator[Float[Array, "b d"]]:
        """Return the frames of one set of rows after the other, one of them ahead."""
        with ThreadPoolExecutor(1) as pool:
            waiting = None
            for chosen in rows:
                reading = pool.submit(self.take, chosen)
                if waiting is not None:
                    yield waiting.result()
                waiting = reading
            if waiting is not None:
                yield waiting.result()

    def chunks(self, size: int) -> Iterator[tuple[int, Float[Array, "_ d"]]]:
        """Return all frames in order, with the number of those that count in each chunk; the last one is filled up."""
        size = self.whole(min(size, len(self)))
        starts = range(0, len(self), size)
        # Rows beyond the end repeat the last frame; all others are a view of the file.
        rows = (
            slice(start, start + size)
            if self._resident is None and start + size <= len(self)
            else np.minimum(np.arange(start, start + size), len(self) - 1)
            for start in starts
        )
        counts = (min(size, len(self) - start) for start in starts)
        yield from zip(counts, self.batches(rows), strict=True)

    def refuse_bad(self, rows: Int[np.ndarray, "b"] | None = None) -> None:
        """Name the first frame that is not finite, of these rows or of all.

        Raises:
            UserError: there is one, or values are so large that their squares are not finite.
        """
        for start in range(0, len(self) if rows is None else len(rows), 65_536):
            part = np.arange(start, min(start + 65_536, len(self))) if rows is None else rows[start : start + 65_536]
            bad = part[~np.isfinite(np.asarray(self.frames[part], np.float32)).all(axis=1)]
            if len(bad):
                raise UserError(
                    f"Frame {bad[0]} of {len(self)} to cluster holds NaN or infinity; find the clip that it comes from "
                    "(a damaged recording, or a model whose training diverged) and compute the features again."
                )
        raise UserError("Frames to cluster are too large for float32; scale them down.")

    def _place(self) -> Float[Array, "n d"]:
        rows = np.minimum(np.arange(self.whole(len(self))), len(self) - 1)
        return jax.device_put(np.asarray(self.frames[rows], np.float32), self._rows)


def _fits(frames: Frames, mesh: Mesh) -> bool:
    """Say whether the frames, spread over the mesh, leave room on an accelerator; on a CPU there is nothing to gain."""
    device = mesh.devices.flat[0]
    stats = device.memory_stats() if device.platform != "cpu" else None
    limit = (stats or {}).get("bytes_limit", 0)
    return 4 * frames.shape[0] * frames.shape[1] <= _SHARE * limit * mesh.shape["data"]
