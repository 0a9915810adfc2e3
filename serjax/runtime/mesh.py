"""The mesh of devices: axes for folds, for the clips of a batch and for parts of parameters. A laptop is a 1x1x1 mesh.

Devices of several processes (`serjax.runtime.distributed`) make one mesh; arrays go to it and come back here.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Shaped

from serjax.runtime.distributed import several, wait_for_all
from serjax.runtime.errors import UserError

# On a CPU a call then returns when all is computed. Else the steps of several folds are handed over at once, and each
# takes memory of its own.
jax.config.update("jax_cpu_enable_async_dispatch", False)

ROWS = ("data", "shard")
"""Mesh axes along which the clips of a batch lie."""


Cost = Callable[[int, int, int], float]
"""Seconds of a step, or anything that grows with them, on a mesh of (fold, data, shard) devices."""


def turns(folds: int, batch: int) -> Cost:
    """Return the cost by counting: a device works through ceil(folds / fold) times (batch / data / shard) clips."""
    return lambda fold, data, shard: math.ceil(folds / fold) * (batch // (data * shard))


def mesh_shape(
    folds: int, batch: int, devices: int, processes: int = 1, shard: int = 1, cost: Cost | None = None
) -> tuple[int, int]:
    """Return the (fold, data) shape on which one step of `folds` batches of `batch` clips costs least.

    Data times shard must divide the batch. Among equals the one with more of the fold axis wins, as folds never talk to
    each other, and then the one with fewer devices. Each process takes part with as many devices as any other: whole
    folds, or an even share of one.

    Args:
        folds: how many train at once.
        batch: clips of each.
        devices: of all processes.
        processes: that share them evenly.
        shard: devices over which parameters are split.
        cost: of a mesh; by default `turns`.

    Raises:
        UserError: no shape gives every process an even share.
    """
    shapes = [
        (fold, rows)
        for fold in range(1, min(folds, devices) + 1)
        for rows in range(shard, devices // fold + 1, shard)
        if batch % rows == 0 and _is_even(fold * rows, rows, processes)
    ]
    if not shapes:
        raise UserError(
            f"{folds} fold{'s' * (folds > 1)} at once in batches of {batch} clips cannot be shared evenly by "
            f"{processes} processes; start a number of them that divides the batch, or set --train.batch-size to a "
            f"multiple of {processes}."
        )
    if len(shapes) == 1:  # a cost may take seconds to reckon
        return shapes[0][0], shapes[0][1] // shard
    cost = turns(folds, batch) if cost is None else cost
    costs = {(fold, rows): cost(fold, rows // shard, shard) for fold, rows in shapes}
    fold, rows = min(shapes, key=lambda shape: (costs[shape], -shape[0], shape[1]))
    return fold, rows // shard


def _is_even(used: int, rows: int, processes: int) -> bool:
    own = used // processes
    return used % processes == 0 and (own % rows == 0 or rows % own == 0)


def make_mesh(
    folds: int,
    batch: int,
    devices: Sequence[jax.Device] | None = None,
    shard: int = 1,
    cost: Cost | None = None,
) -> Mesh:
    """Return a mesh with the axes `fold`, `data` and `shard` over (as many as are useful of) the devices.

    Args:
        folds: how many train at once.
        batch: clips of each.
        devices: by default all.
        shard: size of the last axis.
        cost: of a mesh, see `mesh_shape`.

    Raises:
        UserError: processes cannot share the work evenly.
    """
    devices = jax.devices() if devices is None else devices
    hosts: dict[int, list[jax.Device]] = {}
    for device in devices:
        hosts.setdefault(device.process_index, []).append(device)
    least, most = min(map(len, hosts.values())), max(map(len, hosts.values()))
    if least < most:
        raise UserError(f"processes have {least} to {most} devices; give each of them as many.")
    fold, data = mesh_shape(folds, batch, len(devices), len(hosts), shard, cost)
    # A process's devices follow each other: folds lie across processes, and a fold's gradients are summed inside one.
    used = [device for own in hosts.values() for device in own[: fold * data * shard // len(hosts)]]
    # Mesh rather than make_mesh: the latter's explicit axes want annotations inside the model.
    return Mesh(np.asarray(used).reshape(fold, data, shard), ("fold", *ROWS))


def describe_mesh(mesh: Mesh, batch: int) -> str:
    """Return a sentence on the mesh, with the number of devices that it leaves idle and what would use them."""
    axes = [name for name, size in mesh.shape.items() if name != "shard" or size > 1]
    hosts = len({device.process_index for device in mesh.devices.flat})
    sizes = " x ".join(str(mesh.shape[name]) for name in axes)
    shape = f"devices: {sizes} ({' x '.join(axes)}){f' of {hosts} processes' if hosts > 1 else ''}"
    total = len(jax.devices())
    idle = total - mesh.size
    if idle <= 0:
        return f"{shape}."
    if batch % total == 0:
        return (
            f"{shape}; {idle} of {total} are idle: a step with all of them takes longer, as each would update more "
            "folds. More seeds or learning rates would use them."
        )
    return f"{shape}; {idle} of {total} are idle, which a --train.batch-size of {-(-batch // total) * total} would use."


def sharding(mesh: Mesh, *axes: str | tuple[str, ...] | None) -> NamedSharding:
    """Return the sharding whose leading dimensions lie along the named mesh axes; no axes: a copy on each device."""
    return NamedSharding(mesh, PartitionSpec(*axes))


def place(tree: Any, at: NamedSharding) -> Any:
    """Put arrays that every process has whole on the devices.

    Args:
        tree: pytree of NumPy or JAX arrays, random keys too.
        at: sharding of all of them.
    """
    if at.is_fully_addressable:
        return jax.device_put(tree, at)
    return jax.tree.map(lambda leaf: _place(leaf, at), tree)


def _place(leaf: Any, at: NamedSharding) -> jax.Array:
    if isinstance(leaf, jax.Array):
        if not leaf.is_fully_addressable:
            return leaf if leaf.sharding == at else jax.device_put(leaf, at)
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(_place(jax.random.key_data(leaf), at), impl=jax.random.key_impl(leaf))
    host = np.asarray(leaf)
    return jax.make_array_from_callback(host.shape, at, lambda part: host[part])


def place_rows(tree: Any, at: NamedSharding, shape: tuple[int, ...]) -> Any:
    """Put arrays on the devices of which every process has its own part.

    Args:
        tree: pytree of NumPy arrays: the rows that this process's devices hold.
        at: sharding of all of them.
        shape: leading dimensions of the whole arrays, as many as `at` shards.
    """
    if at.is_fully_addressable:
        return jax.device_put(tree, at)
    return jax.tree.map(
        lambda leaf: jax.make_array_from_process_local_data(at, leaf, (*shape, *leaf.shape[len(shape) :])), tree
    )


def fetch(tree: Any) -> Any:
    """Return arrays as NumPy arrays, whole on every process; all of them must call it."""
    if not several():
        return jax.device_get(tree)
    # One by one: a copy of all of them at once might not fit on a device.
    return jax.tree.map(lambda leaf: jax.device_get(_whole(leaf)), tree)


def _whole(leaf: Any) -> Any:
    if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable or leaf.is_fully_replicated:
        return leaf
    assert isinstance(leaf.sharding, NamedSharding)
    return _copies(leaf.sharding.mesh)(leaf)


@functools.cache
def _copies(mesh: Mesh) -> Callable[[jax.Array], jax.Array]:
    return enter_together(jax.jit(lambda x: x, out_shardings=sharding(mesh)))


def own_rows(leaf: jax.Array) -> Shaped[np.ndarray, "rows ..."]:
    """Return the rows that this process's devices hold of an array that is sharded along its leading axis alone."""
    rows = {shard.index[0].start or 0: shard.data for shard in leaf.addressable_shards}
    return np.concatenate([np.asarray(rows[start]) for start in sorted(rows)])


def enter_together(compiled: Callable[..., Any]) -> Callable[..., Any]:
    """Return a jitted function that all processes enter at the same time.

    Their first collective waits half a minute for its peers, and compiling takes longer on some: so all compile first,
    and meet. A process that is alone gets the function as it is.
    """
    programs: dict[Any, Callable[..., Any]] = {}

    def call(*arguments: Any) -> Any:
        if not several():
            return compiled(*arguments)
        leaves, structure = jax.tree.flatten(arguments)
        key = structure, tuple((np.shape(leaf), jax.dtypes.result_type(leaf)) for leaf in leaves)
        if key not in programs:
            programs[key] = compiled.lower(*arguments).compile()  # type: ignore[attr-defined]
            wait_for_all("compiled")
        return programs[key](*arguments)

    return call
