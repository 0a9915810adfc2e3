"""Parameters split over devices (fully sharded data parallelism): which axis of which array, and over how many devices.

A device keeps its part of every large parameter, and of all that has the parameter's shape: moments of the optimizer,
gradients, the best state. XLA gathers a parameter where a step computes with it, and scatters the sums of its gradient
(Rajbhandari et al., "ZeRO: memory optimizations toward training trillion parameter models", SC 2020, stage 3).
"""

import logging
import math
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding

from serjax.models.functional import path_name
from serjax.runtime.distributed import from_first
from serjax.runtime.errors import UserError
from serjax.runtime.mesh import Cost, mesh_shape, sharding

log = logging.getLogger(__name__)

LEAST = 2**16
"""Values of an array that is worth splitting: biases, norms and other smaller ones are whole on every device.

In HuBERT base and large smaller arrays are 0.14 and 0.11 % of the parameters, and the next larger has 393,216 values.
"""

RULES: tuple[tuple[str, int | None], ...] = ((r"(.*\.)?banks\..*", None),)
"""(regular expression, axis) pairs: an array whose name matches in full is split along this axis, None: not at all.

Recordings that are mixed in stay whole, for a step reads single rows of them.
"""

STATE_SHARE = 0.5
"""Part of a device's memory that the state may take; the rest is for activations and gathered parameters."""


def sharded_axis(
    name: str,
    shape: Sequence[int],
    shards: int,
    *,
    least: int = LEAST,
    rules: Sequence[tuple[str, int | None]] = RULES,
) -> int | None:
    """Return the axis along which an array is split: the largest that `shards` divides, of equals the first; or None.

    Args:
        name: of the array, such as `speech_encoder.encoder.layers.0.attention.q_proj.kernel`.
        shape: of the whole array, without the axis of folds.
        shards: number of parts.
        least: arrays of fewer values are not split.
        rules: (regular expression, axis) pairs, the first full match of which decides; an axis that `shards` does not
            divide counts as None.
    """
    if shards == 1 or math.prod(shape) < least:
        return None
    possible = [axis for axis, size in enumerate(shape) if size and size % shards == 0]
    for pattern, axis in rules:
        if re.fullmatch(pattern, name):
            return axis if axis in possible else None
    return max(possible, key=lambda axis: (shape[axis], -axis), default=None)


def partition(name: str, shape: Sequence[int], shards: int, least: int = LEAST) -> tuple[str | None, ...]:
    """Return the mesh axis along which each leading dimension of an array lies; dimensions that are left out are whole.

    Args:
        name: of the array.
        shape: of the whole array, without the axis of folds.
        shards: size of the mesh axis `shard`.
        least: arrays of fewer values are not split.
    """
    axis = sharded_axis(name, shape, shards, least=least)
    return () if axis is None else (*[None] * axis, "shard")


def gather(tree: Any, mesh: Mesh, least: int = LEAST) -> Any:
    """Return arrays of one fold whole on every device, inside a compiled function; their gradients come back in parts.

    Without it XLA may well leave parameters in parts and move activations, which are larger, between devices.

    Args:
        tree: arrays that are split as `partition` says.
        mesh: of which `shard` is an axis.
        least: arrays of fewer values are not split.
    """

    def one(path: Any, leaf: Any) -> Any:
        parts = partition(path_name(path), leaf.shape, mesh.shape["shard"], least)
        if not parts:
            return leaf
        whole = sharding(mesh)
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return jax.lax.with_sharding_constraint(leaf, whole)
        return _gather(whole, sharding(mesh, *parts), leaf)

    return jax.tree_util.tree_map_with_path(one, tree)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _gather(whole: NamedSharding, split: NamedSharding, leaf: Any) -> Any:
    return jax.lax.with_sharding_constraint(leaf, whole)


def _gather_forward(whole: NamedSharding, split: NamedSharding, leaf: Any) -> tuple[Any, None]:
    return _gather(whole, split, leaf), None


def _gather_backward(whole: NamedSharding, split: NamedSharding, _: None, gradient: Any) -> tuple[Any]:
    return (jax.lax.with_sharding_constraint(gradient, split),)


_gather.defvjp(_gather_forward, _gather_backward)


def bytes_per_device(tree: Any, shards: int) -> int:
    """Return the bytes that one fold's pytree (abstract will do) takes on each of `shards` devices."""
    total = 0
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        split = sharded_axis(path_name(path), np.shape(leaf), shards) is not None
        total += math.prod(np.shape(leaf)) * jax.dtypes.result_type(leaf).itemsize // (shards if split else 1)
    return total


def memory_limit() -> int | None:
    """Return the bytes that the smallest device of this machine has for arrays; None: not known, as of a CPU."""
    limits = [(device.memory_stats() or {}).get("bytes_limit") for device in jax.local_devices()]
    known = [limit for limit in limits if limit]
    return min(known) if known and jax.default_backend() != "cpu" else None


def choose_shards(
    wish: int | Literal["auto"],
    state: Callable[[], tuple[Any, Any]],
    *,
    folds: int,
    batch: int,
    together: bool,
    devices: int | None = None,
    processes: int | None = None,
    limit: float | None = None,
    cost: Cost | None = None,
) -> int:
    """Return over how many devices parameters are split, and log the size of the state where that is looked at.

    `auto` is the smallest divisor of the devices with which the state takes at most `STATE_SHARE` of a device's memory;
    where that is not known, 1.

    Args:
        wish: `mesh.shard`.
        state: returns two (abstract) pytrees: all that each fold keeps, and all that folds share.
        folds: how many there are.
        batch: clips of each.
        together: in one computation, so that they can lie on several devices.
        devices: of all processes; by default those there are.
        processes: by default those there are.
        limit: bytes of memory of a device; by default those of the smallest one here.
        cost: of a mesh, see `serjax.runtime.mesh.mesh_shape`.

    Raises:
        UserError: parameters, or batches, cannot be split over as many devices.
    """
    devices = jax.device_count() if devices is None else devices
    processes = jax.process_count() if processes is None else processes
    # Processes must agree, and their devices may differ by a few bytes.
    limit = limit or from_first("memory", memory_limit)
    if wish == 1 or (wish == "auto" and limit is None):
        return 1
    if wish != "auto":
        check_shards(wish, batch, devices)
    each, shared = state()

    def size(shards: int) -> int:
        fold, _ = mesh_shape(folds if together else 1, batch, devices, processes, shards, cost)
        return -(-folds // fold) * bytes_per_device(each, shards) + bytes_per_device(shared, shards)

    if wish != "auto":
        log.info(_sentence(wish, size(wish), limit))
        return wish
    assert limit is not None
    found: dict[int, int] = {}
    for shards in (n for n in range(1, devices + 1) if devices % n == 0 and batch % n == 0):
        found[shards] = size(shards)
        if found[shards] <= STATE_SHARE * limit:
            log.info(_sentence(shards, found[shards], limit))
            return shards
    best = min(found, key=lambda n: found[n])
    log.warning(
        f"{_sentence(best, found[best], limit)} That is more than {STATE_SHARE:.0%}, and training may run out of "
        "memory; train fewer folds at once (--folds.together no, --folds.only) or use more devices."
    )
    return best


def check_shards(shards: int, batch: int, devices: int) -> None:
    """See that parameters and batches can be split over `shards` of so many devices.

    Raises:
        UserError: they cannot.
    """
    if shards > devices:
        raise UserError(
            f"--mesh.shard {shards}: it is more than the {devices} device{'s' * (devices > 1)} here; give fewer."
        )
    if devices % shards:
        raise UserError(f"--mesh.shard {shards}: it does not divide the {devices} devices; give a number that does.")
    if batch % shards:
        raise UserError(
            f"--mesh.shard {shards}: a batch of {batch} clips cannot be spread over as many devices; make "
            f"--train.batch-size (divided by --train.accumulate) a multiple of {shards}."
        )


def _sentence(shards: int, size: int, limit: float | None) -> str:
    split = f"parameters are split over {shards} devices" if shards > 1 else "parameters are whole on every device"
    of = "" if limit is None else f" of {limit / 1e9:.1f} GB"
    return f"mesh.shard: {split}; parameters, moments, gradients and best states take {size / 1e9:.3g} GB{of} each."
