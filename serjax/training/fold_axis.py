"""The fold axis: the one place where a function written for one fold comes to serve many, on many devices.

A value a fold is either one pytree with a leading axis (folds computed together) or a list of pytrees (one after the
other). Both are pytrees; who holds one need not know which it is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Bool

from serjax.runtime.mesh import make_mesh, sharding


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
        mesh: devices with the axes fold and data.
        together: in one vmapped computation, or one after the other.
    """

    count: int
    mesh: Mesh
    together: bool

    @property
    def padded(self) -> int:
        """`count`, rounded up to fill the mesh's fold axis."""
        rows = self.mesh.shape["fold"]
        return -(-self.count // rows) * rows

    def _sharding(self, placement: Placement) -> NamedSharding:
        fold = ["fold"] if self.together else []
        return sharding(self.mesh, *{FOLD: fold, BATCH: [*fold, "data"], SHARED: []}[placement])

    def shard(self, tree: Any, placement: Placement = FOLD) -> PerFold:
        """Place a pytree of arrays with a leading axis of `count` on the devices, as `FOLD` or `BATCH`."""
        if not self.together:
            return [
                jax.device_put(jax.tree.map(lambda x, k=k: x[k], tree), self._sharding(placement))
                for k in range(self.count)
            ]

        def fill(x: Any) -> Any:
            # Folds that only fill up the mesh are copies of the first, and never active.
            missing = self.padded - self.count
            return jnp.concatenate([x, jnp.repeat(x[:1], missing, axis=0)]) if missing else x

        return jax.device_put(jax.tree.map(fill, tree), self._sharding(placement))

    def gather(self, values: PerFold) -> Any:
        """Return a value a fold as numpy arrays with a leading axis of `count`."""
        if not self.together:
            return jax.tree.map(lambda *x: np.stack(x), *jax.device_get(values))
        return jax.tree.map(lambda x: x[: self.count], jax.device_get(values))

    def first(self, values: PerFold) -> Any:
        """Return the first fold's value."""
        return jax.tree.map(lambda x: x[0], values) if self.together else values[0]

    def field(self, values: PerFold, name: str) -> PerFold:
        """Return one field of a named tuple a fold."""
        return getattr(values, name) if self.together else [getattr(value, name) for value in values]

    def replicate(self, tree: Any) -> Any:
        """Place arrays that all folds read on every device."""
        return jax.device_put(tree, self._sharding(SHARED))

    def jit(
        self, function: Callable[..., Any], in_axes: Sequence[Placement], out_axes: Placement = FOLD
    ) -> Callable[..., PerFold]:
        """Compile a function of one fold so that it maps values a fold to values a fold.

        Args:
            function: takes one fold's values.
            in_axes: `FOLD`, `BATCH` or `SHARED` for each argument.
            out_axes: `FOLD` or `BATCH`, of every array that is returned.
        """
        shardings: dict[str, Any] = {
            "in_shardings": tuple(map(self._sharding, in_axes)),
            "out_shardings": self._sharding(out_axes),
        }
        if self.together:
            return jax.jit(_mapped(function, in_axes), **shardings)
        single = jax.jit(function, **shardings)
        return lambda *arguments: [single(*_at(k, arguments, in_axes)) for k in range(self.count)]

    def jit_step(
        self, step: Callable[..., Any], in_axes: Sequence[Placement]
    ) -> Callable[..., tuple[PerFold, PerFold]]:
        """Compile a training step of one fold, (state, ...) -> (state, metrics).

        What is returned takes a mask of the active folds before the step's arguments: the state of the others stays as
        it is, and their metrics mean nothing. The old state's memory is taken over by the new one.
        """
        # Output shardings are pinned, or the state comes back laid out otherwise and the next step compiles again.
        shardings: dict[str, Any] = {"out_shardings": (self._sharding(FOLD), self._sharding(FOLD))}
        inputs = tuple(map(self._sharding, in_axes))
        if self.together:

            def guarded(active: Any, state: Any, *rest: Any) -> Any:
                new, metrics = step(state, *rest)
                return jax.tree.map(lambda a, b: jnp.where(active, a, b), new, state), metrics

            together = jax.jit(
                _mapped(guarded, (FOLD, *in_axes)),
                in_shardings=(self._sharding(FOLD), *inputs),
                donate_argnums=1,
                **shardings,
            )
            return lambda active, *arguments: together(self._mask(active), *arguments)

        # A loop here and not lax.map: in a compiled loop XLA's CPU convolutions ran 13 times slower.
        single = jax.jit(step, in_shardings=inputs, donate_argnums=0, **shardings)
        idle: list[Any] = []

        def one_by_one(active: Bool[np.ndarray, "k"], *arguments: Any) -> tuple[PerFold, PerFold]:
            states, metrics = list(arguments[0]), [None] * self.count
            for k in np.flatnonzero(active).tolist():
                states[k], metrics[k] = single(*_at(k, (states, *arguments[1:]), in_axes))
            if not idle:
                idle.append(jax.tree.map(jnp.zeros_like, next(m for m in metrics if m is not None)))
            return states, [idle[0] if m is None else m for m in metrics]

        return one_by_one

    def select(self, mask: Bool[np.ndarray, "k"], new: PerFold, old: PerFold) -> PerFold:
        """Return a copy of `new` for the folds in `mask` and `old`, whose memory may be reused, for the others."""
        if not self.together:
            return [jax.tree.map(jnp.copy, new[k]) if mask[k] else old[k] for k in range(self.count)]
        return _select(self._mask(mask), new, old)

    def _mask(self, active: Bool[np.ndarray, "k"]) -> jax.Array:
        return jax.device_put(np.pad(active, (0, self.padded - self.count)), self._sharding(FOLD))


def fold_axis(count: int, batch: int, *, together: bool, devices: Sequence[jax.Device] | None = None) -> FoldAxis:
    """Return the axis for `count` folds with batches of `batch` clips on all (or the given) devices."""
    return FoldAxis(count, make_mesh(count if together else 1, batch, devices), together)


def choose_together(wish: Literal["auto", "yes", "no"], *, backend: str, frozen_encoder: bool) -> tuple[bool, str]:
    """Decide whether folds train in one vmapped computation, and say why in a sentence.

    The rule rests on benchmarks/folds_together.py and not on a timing of this very run: a choice that hung on the
    machine's mood would let the same seed give other numbers.
    """
    if wish != "auto":
        return wish == "yes", f"folds.together={wish}: as asked."
    if frozen_encoder:
        return True, "folds train together: only heads are trained, and one step serves them all."
    if backend == "cpu":
        return False, "folds train one after the other: on a CPU a trained encoder is faster so."
    return True, f"folds train together: one {backend} step keeps the device busier than several small ones."


def _mapped(function: Callable[..., Any], in_axes: Sequence[Placement]) -> Callable[..., Any]:
    return jax.vmap(function, in_axes=tuple(None if placement is SHARED else 0 for placement in in_axes))


def _at(k: int, arguments: Sequence[Any], in_axes: Sequence[Placement]) -> list[Any]:
    return [
        argument if placement is SHARED else argument[k] for argument, placement in zip(arguments, in_axes, strict=True)
    ]


def _select_arrays(mask: jax.Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(mask.reshape(-1, *[1] * (a.ndim - 1)), a, b), new, old)


_select = jax.jit(_select_arrays, donate_argnums=2)
