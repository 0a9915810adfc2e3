"""The fold axis: the one place where a function written for one fold comes to serve many, on many devices.

A value a fold is either one pytree with a leading axis (folds computed together) or a list of pytrees (one after the
other). Both are pytrees; who holds one need not know which it is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Bool

from serjax.models.functional import path_name
from serjax.runtime.distributed import several
from serjax.runtime.mesh import ROWS, Cost, enter_together, fetch, make_mesh, own_rows, place, place_rows, sharding
from serjax.runtime.platform import target_platform
from serjax.training.blocks import in_blocks
from serjax.training.parameter_sharding import LEAST, gather, partition
from serjax.training.split_program import SplitProgram


class Placement(Enum):
    """Axes of an argument or a result of a function of one fold, once it serves all folds."""

    FOLD = "a value of each fold"
    BATCH = "a batch of each fold, whose rows are spread over devices"
    SHARED = "one value that all folds read"


FOLD, BATCH, SHARED = Placement

PerFold = Any
"""A pytree with a leading axis of `FoldAxis.padded`, or a list of `FoldAxis.count` pytrees."""


@dataclass(frozen=True)
class FoldAxis:
    """Layout of `count` folds (or more generally trials: fold x seed x learning rate) on devices.

    Attributes:
        count: how many there are.
        mesh: devices with the axes fold, data and shard.
        together: in one vmapped computation, or one after the other.
        least: values of an array that is split over the axis shard, see `serjax.training.parameter_sharding`.
    """

    count: int
    mesh: Mesh
    together: bool
    least: int = LEAST

    @property
    def padded(self) -> int:
        """`count`, rounded up to fill the mesh's fold axis."""
        rows = self.mesh.shape["fold"]
        return -(-self.count // rows) * rows

    @property
    def row_devices(self) -> int:
        """Devices over which the rows of a batch are spread."""
        return self.mesh.shape["data"] * self.mesh.shape["shard"]

    def _sharding(self, placement: Placement) -> NamedSharding:
        """Return the sharding of arrays that are too small to be split over the axis shard."""
        fold = self._leading(placement)
        return sharding(self.mesh, *fold, ROWS) if placement is BATCH else sharding(self.mesh, *fold)

    def _leading(self, placement: Placement) -> list[str]:
        """Return the mesh axis along which folds lie, if an array has them in front."""
        return ["fold"] if self.together and placement is not SHARED else []

    def layout(self, tree: Any, placement: Placement) -> Any:
        """Return the sharding of every array of a pytree; one for all where the mesh's axis shard is of size 1.

        Args:
            tree: arrays (abstract will do), with the axis of folds in front where they have one.
            placement: of all of them.
        """
        whole, shards = self._sharding(placement), self.mesh.shape["shard"]
        if shards == 1 or placement is BATCH:
            return whole
        leading = self._leading(placement)

        def one(path: Any, leaf: Any) -> NamedSharding:
            shape = np.shape(leaf)[len(leading) :]
            return sharding(self.mesh, *leading, *partition(path_name(path), shape, shards, self.least))

        return jax.tree_util.tree_map_with_path(one, tree)

    def _place(self, tree: Any, placement: Placement) -> Any:
        at = self.layout(tree, placement)
        return place(tree, at) if isinstance(at, NamedSharding) else jax.tree.map(place, tree, at)

    @property
    def own(self) -> list[int]:
        """Numbers of the folds whose batches this process reads; of those that only fill up the mesh, the first."""
        if not self.together:
            return list(range(self.count))
        return [k for k in self._own_part()[0] if k < self.count] or [0]

    def own_rows(self, batch: int) -> slice:
        """Return the rows that this process reads of a batch of `batch` rows."""
        _, rows = self._own_part()
        size = batch // self.row_devices
        return slice(rows.start * size, rows.stop * size)

    def _own_part(self) -> tuple[range, range]:
        """Return the folds, filling ones too, and the rows of the mesh that this process has devices of."""
        devices = self.mesh.devices.reshape(-1, self.row_devices)
        mine = np.argwhere([[d.process_index == jax.process_index() for d in row] for row in devices])
        (fold, data), (last_fold, last_data) = mine.min(0), mine.max(0)
        size = self.padded // self.mesh.shape["fold"]
        return range(int(fold) * size, (int(last_fold) + 1) * size), range(int(data), int(last_data) + 1)

    def shard(self, tree: Any) -> PerFold:
        """Place a pytree of arrays with a leading axis of `count`, whole on every process, on the devices."""
        if not self.together:
            return [self._place(jax.tree.map(lambda x, k=k: x[k], tree), FOLD) for k in range(self.count)]
        return self._place(jax.tree.map(lambda x: _fill(x, self.padded), tree), FOLD)

    def feed(self, tree: Any) -> PerFold:
        """Place batches [own rows ...] on the devices, of which this process read the part of `own` and `own_rows`."""
        at = self._sharding(BATCH)
        folds, rows = self._own_part()

        def whole(part: Any) -> int:
            """Return the rows of the whole batch."""
            axis = 1 if self.together else 0
            return jax.tree.leaves(part)[0].shape[axis] // len(rows) * self.row_devices

        if not self.together:
            parts = [jax.tree.map(lambda x, k=k: x[k], tree) for k in range(self.count)]
            return [place_rows(part, at, (whole(part),)) for part in parts]
        return place_rows(jax.tree.map(lambda x: _fill(x, len(folds)), tree), at, (self.padded, whole(tree)))

    def gather(self, values: PerFold) -> Any:
        """Return a value a fold as numpy arrays with a leading axis of `count`; every process must ask."""
        if not self.together:
            return jax.tree.map(lambda *x: np.stack(x), *fetch(values))
        return jax.tree.map(lambda x: x[: self.count], fetch(values))

    def read(self, values: PerFold) -> Any:
        """Return the part of a value a fold that is on this process's devices, for `merge`; wait for no other."""
        if self.together and several():
            return jax.tree.map(own_rows, values)
        return self.gather(values)

    def merge(self, parts: Any) -> Any:
        """Return what `gather` would have of values that were `read`, or of arrays of them; every process must ask."""
        if self.together and several():
            return self.gather(place_rows(parts, self._sharding(FOLD), (self.padded,)))
        return parts

    def first(self, values: PerFold) -> Any:
        """Return the first fold's value, where this process has all devices."""
        return jax.tree.map(lambda x: x[0], values) if self.together else values[0]

    def shape(self, values: PerFold) -> Any:
        """Return shapes and dtypes of one fold's value."""
        return jax.eval_shape(self.first, values)

    def field(self, values: PerFold, name: str) -> PerFold:
        """Return one field of a named tuple a fold."""
        return getattr(values, name) if self.together else [getattr(value, name) for value in values]

    def replicate(self, tree: Any) -> Any:
        """Place arrays that all folds read on every device; large ones are split over the axis shard."""
        return self._place(tree, SHARED)

    def gather_params(self, params: Any) -> Any:
        """Return one fold's parameters whole on every device, inside a function that `jit` or `jit_step` compiles."""
        return params if self.mesh.shape["shard"] == 1 else gather(params, self.mesh, self.least)

    def jit(
        self, function: Callable[..., Any], in_axes: Sequence[Placement], out_axes: Placement = FOLD
    ) -> Callable[..., PerFold]:
        """Compile a function of one fold so that it maps values a fold to values a fold.

        Args:
            function: takes one fold's values.
            in_axes: `FOLD`, `BATCH` or `SHARED` for each argument.
            out_axes: `FOLD` or `BATCH`, of every array that is returned; `SHARED` where no argument is of a fold, and
                the function is called once.
        """
        once = out_axes is SHARED
        every = self._side_by_side(function, in_axes) if self.together and not once else function

        def outputs(arguments: Sequence[Any]) -> Any:
            if out_axes is BATCH:
                return self._sharding(out_axes)
            return self.layout(jax.eval_shape(every, *arguments), out_axes)

        compiled = enter_together(self._compile(every, in_axes, self._sharding(out_axes), outputs))
        if self.together or once:
            return compiled
        return lambda *arguments: [compiled(*_at(k, arguments, in_axes)) for k in range(self.count)]

    def _compile(
        self,
        function: Callable[..., Any],
        in_axes: Sequence[Placement],
        whole: Any,
        split: Callable[[Sequence[Any]], Any],
        **options: Any,
    ) -> Any:
        """Return a jitted function with pinned shardings of its results.

        They are `whole` where no array is split over the axis shard, else what `split` returns for some arguments.
        """
        # Output shardings are pinned, or the state comes back laid out otherwise and the next step compiles again. With
        # that of the state split, XLA scatters the sums of gradients and updates each part where it is.
        if self.mesh.shape["shard"] == 1:
            inputs = tuple(map(self._sharding, in_axes))
            return jax.jit(function, in_shardings=inputs, out_shardings=whole, **options)
        return SplitProgram(function, lambda arguments: tuple(map(self.layout, arguments, in_axes)), split, options)

    def _side_by_side(
        self, function: Callable[..., Any], in_axes: Sequence[Placement], block: int | None = None
    ) -> Callable[..., Any]:
        """Map a function over folds, those of each device on their own: nothing can travel along the fold axis.

        XLA's partitioner would gather some operations of all folds, such as convolutions in groups. A TPU's does not,
        and there a step partitioned so held 1.6 times as much (HuBERT base, 5 x 1, docs/results/scaling.md).
        """
        axes = tuple(None if placement is SHARED else 0 for placement in in_axes)
        if self.mesh.shape["shard"] > 1:
            # Constraints inside are of one fold; the name lays them along the mesh's axis of folds.
            return jax.vmap(function, in_axes=axes, spmd_axis_name="fold")
        mapped = jax.vmap(function, in_axes=axes) if block is None else in_blocks(function, axes, block)
        if self.mesh.shape["fold"] == 1 or target_platform() == "tpu":
            return mapped
        apart: Callable[..., Any] = jax.shard_map(
            mapped,
            mesh=self.mesh,
            in_specs=tuple(PartitionSpec() if one is SHARED else PartitionSpec("fold") for one in in_axes),
            out_specs=PartitionSpec("fold"),
            # An axis of one device needs no partitioner.
            axis_names={"fold"} if self.row_devices > 1 else set(self.mesh.axis_names),
            check_vma=False,
        )
        return apart

    def compile_step(self, step: Callable[..., Any], in_axes: Sequence[Placement], block: int | None = None) -> Any:
        """Return what `jit_step` calls, to be lowered: folds together take a mask [k] of active ones first."""
        function, placed, state = step, tuple(in_axes), 0
        # Of one fold a loop of calls and not lax.map: in a compiled loop XLA's CPU convolutions ran 13 times slower.
        if self.together:

            def guarded(active: Any, state: Any, *rest: Any) -> Any:
                new, metrics = step(state, *rest)
                return jax.tree.map(lambda a, b: jnp.where(active, a, b), new, state), metrics

            placed, state = (FOLD, *in_axes), 1
            function = self._side_by_side(guarded, placed, block)

        def split(arguments: Sequence[Any]) -> Any:
            return self.layout(arguments[state], FOLD), self._sharding(FOLD)

        return self._compile(function, placed, (self._sharding(FOLD),) * 2, split, donate_argnums=state)

    def jit_step(
        self, step: Callable[..., Any], in_axes: Sequence[Placement], block: int | None = None
    ) -> Callable[..., tuple[PerFold, PerFold]]:
        """Compile a training step of one fold, (state, ...) -> (state, metrics).

        What is returned takes a mask of the active folds before the step's arguments: the state of the others stays as
        it is, and their metrics mean nothing. The old state's memory is taken over by the new one. With `block` a
        device computes at most so many of the folds together at once, block after block.
        """
        compiled = enter_together(self.compile_step(step, in_axes, block))
        if self.together:
            return lambda active, *arguments: compiled(self._mask(active), *arguments)
        idle: list[Any] = []

        def one_by_one(active: Bool[np.ndarray, "k"], *arguments: Any) -> tuple[PerFold, PerFold]:
            states, metrics = list(arguments[0]), [None] * self.count
            for k in np.flatnonzero(active).tolist():
                states[k], metrics[k] = compiled(*_at(k, (states, *arguments[1:]), in_axes))
            if not idle:
                idle.append(jax.tree.map(jnp.zeros_like, next(m for m in metrics if m is not None)))
            return states, [idle[0] if m is None else m for m in metrics]

        return one_by_one

    def select(self, mask: Bool[np.ndarray, "k"], new: PerFold, old: PerFold) -> PerFold:
        """Return a copy of `new` for the folds in `mask` and `old`, whose memory may be reused, for the others."""
        if not self.together:
            return [jax.tree.map(jnp.copy, new[k]) if mask[k] else old[k] for k in range(self.count)]
        return self._select(self._mask(mask), new, old)

    @cached_property
    def _select(self) -> Callable[..., PerFold]:
        def split(arguments: Sequence[Any]) -> Any:
            return self.layout(arguments[2], FOLD)

        compiled = self._compile(_select_arrays, (FOLD,) * 3, self._sharding(FOLD), split, donate_argnums=2)
        return enter_together(compiled)

    def _mask(self, active: Bool[np.ndarray, "k"]) -> jax.Array:
        return place(np.pad(active, (0, self.padded - self.count)), self._sharding(FOLD))


def fold_axis(
    count: int,
    batch: int,
    *,
    together: bool,
    devices: Sequence[jax.Device] | None = None,
    shard: int = 1,
    cost: Cost | None = None,
) -> FoldAxis:
    """Return the axis for `count` folds with batches of `batch` clips on all (or the given) devices.

    Args:
        count: how many folds there are.
        batch: clips of each.
        together: in one computation.
        devices: by default all.
        shard: devices over which parameters are split.
        cost: of a mesh, see `serjax.runtime.mesh.mesh_shape`.
    """
    return FoldAxis(count, make_mesh(count if together else 1, batch, devices, shard, cost), together)


def _fill(x: Any, size: int) -> Any:
    """Return an array with a leading axis of `size`: folds that only fill up the mesh are copies of the first."""
    missing = size - len(x)
    if not missing:
        return x
    if isinstance(x, np.ndarray):
        return np.concatenate([x, np.repeat(x[:1], missing, axis=0)])
    return jnp.concatenate([x, jnp.repeat(x[:1], missing, axis=0)])


def _at(k: int, arguments: Sequence[Any], in_axes: Sequence[Placement]) -> list[Any]:
    return [
        argument if placement is SHARED else argument[k] for argument, placement in zip(arguments, in_axes, strict=True)
    ]


def _select_arrays(mask: jax.Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(mask.reshape(-1, *[1] * (a.ndim - 1)), a, b), new, old)
