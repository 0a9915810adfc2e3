"""The mesh of devices: an axis for folds, an axis for the clips of a batch. A laptop is a 1x1 mesh."""

import math
from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def mesh_shape(folds: int, batch: int, devices: int) -> tuple[int, int]:
    """Return the (fold, data) shape on which one step of `folds` batches of `batch` clips takes the fewest turns.

    A device works through ceil(folds / fold) times (batch / data) clips; data must divide the batch. Among equals the
    one with more of the fold axis wins, as folds never talk to each other, and then the one with fewer devices.
    """
    shapes = [
        (fold, data)
        for fold in range(1, min(folds, devices) + 1)
        for data in range(1, devices // fold + 1)
        if batch % data == 0
    ]
    return min(shapes, key=lambda shape: (math.ceil(folds / shape[0]) * (batch // shape[1]), -shape[0], shape[1]))


def make_mesh(folds: int, batch: int, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Return a mesh with the axes `fold` and `data` over (as many as are useful of) the devices."""
    devices = jax.devices() if devices is None else devices
    fold, data = mesh_shape(folds, batch, len(devices))
    # Mesh rather than make_mesh: the latter's explicit axes want annotations inside the model.
    return Mesh(np.asarray(devices[: fold * data]).reshape(fold, data), ("fold", "data"))


def sharding(mesh: Mesh, *axes: str | None) -> NamedSharding:
    """Return the sharding whose leading dimensions lie along the named mesh axes; no axes: a copy on each device."""
    return NamedSharding(mesh, PartitionSpec(*axes))
