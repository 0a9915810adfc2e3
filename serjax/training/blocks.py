"""`jax.vmap` block by block, for functions whose arrays should stay in a CPU's cache."""

from collections.abc import Callable, Sequence
from typing import Any

import jax


def in_blocks(function: Callable[..., Any], axes: Sequence[int | None], block: int) -> Callable[..., Any]:
    """Return `jax.vmap` of a function as a compiled loop over blocks of the mapped axis.

    Args:
        function: of one entry.
        axes: of its arguments: 0 for a leading axis that is mapped, None for a value that all entries share.
        block: entries computed at once, at most; the largest divisor of their number is taken.
    """

    def mapped(*arguments: Any) -> Any:
        own = [argument for argument, at in zip(arguments, axes, strict=True) if at is not None]

        def one(values: Sequence[Any]) -> Any:
            rest = iter(values)
            return function(*(a if at is None else next(rest) for a, at in zip(arguments, axes, strict=True)))

        count = len(jax.tree.leaves(own)[0])
        # A divisor: a rest of another size would be compiled a second time.
        size = max(size for size in range(1, min(block, count) + 1) if count % size == 0)
        return jax.lax.map(one, own, batch_size=size if size > 1 else None)

    return mapped
