"""Work and memory of a traced function, counted in its jaxpr before any compiler has seen it."""

import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal
from jax.interpreters.partial_eval import dce_jaxpr


class Count(NamedTuple):
    """Counts of a function.

    Attributes:
        flops: of matrix products and convolutions, a product and a sum being two; all else is left out.
        moved: bytes that they read and write, what lies between them being fused into them.
        peak: bytes alive at once at most, arguments and results too, where every value is made as written, in this
            order, and freed after its last use. A compiler fuses values away, so this is more than it needs.
    """

    flops: float
    moved: float
    peak: float


def count(jaxpr: ClosedJaxpr, donated: int = 0) -> Count:
    """Return the counts of a function that `jax.make_jaxpr` has traced, without what no result hangs on.

    Compilers leave that out, too: layers above the one that a head takes are traced and never run.

    Args:
        jaxpr: of the function.
        donated: so many of its flat arguments, from the first on, may be overwritten after their last use.
    """
    run, _ = dce_jaxpr(jaxpr.jaxpr, True, instantiate=True)
    flops, moved = _work(run)
    own, given = run.invars[:donated], (*run.invars[donated:], *run.constvars)
    return Count(flops, moved, sum(map(_bytes, given)) + _peak(run, {one: _bytes(one) for one in own}))


def size(tree: Any) -> int:
    """Return the bytes of a pytree of arrays or shapes."""
    return sum(math.prod(leaf.shape) * _itemsize(leaf.dtype) for leaf in jax.tree.leaves(tree))


def _itemsize(dtype: Any) -> int:
    # A random key is no number, and has no size of its own: two words of four bytes (threefry).
    return int(getattr(dtype, "itemsize", 8)) if not str(dtype).startswith("key") else 8


def _bytes(variable: Any) -> int:
    shape = getattr(variable.aval, "shape", None)
    return 0 if shape is None else math.prod(shape) * _itemsize(variable.aval.dtype)


def _inner(equation: Any) -> Iterator[Jaxpr]:
    """Yield the functions that an equation calls."""
    for value in equation.params.values():
        for one in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(one, ClosedJaxpr):
                yield one.jaxpr
            elif isinstance(one, Jaxpr):
                yield one


def _called(equation: Any) -> list[Jaxpr]:
    """Return the functions that are run; of a derivative rule's the function itself, not the rule."""
    found = list(_inner(equation))
    return found[:1] if equation.primitive.name.startswith("custom_") else found


def _work(jaxpr: Jaxpr) -> tuple[float, float]:
    flops = moved = 0.0
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name in ("dot_general", "conv_general_dilated"):
            flops += _dot(equation) if name == "dot_general" else _convolution(equation)
            moved += sum(map(_bytes, (*equation.invars, *equation.outvars)))
            continue
        inner = [_work(one) for one in _called(equation)]
        if name == "cond":
            inner = [max(inner)]
        times = equation.params["length"] if name == "scan" else 1
        flops += times * sum(one[0] for one in inner)
        moved += times * sum(one[1] for one in inner)
    return flops, moved


def _dot(equation: Any) -> float:
    (contracted, _), _ = equation.params["dimension_numbers"]
    shape = equation.invars[0].aval.shape
    return 2.0 * math.prod(equation.outvars[0].aval.shape) * math.prod(shape[axis] for axis in contracted)


def _convolution(equation: Any) -> float:
    kernel, spec = equation.invars[1].aval.shape, equation.params["dimension_numbers"].rhs_spec
    return 2.0 * math.prod(equation.outvars[0].aval.shape) * math.prod(kernel[axis] for axis in spec[1:])


def _peak(jaxpr: Jaxpr, donated: Mapping[Any, int] = MappingProxyType({})) -> float:
    """Return the most bytes alive at once, arguments left out but for those that may be overwritten."""
    last: dict[Any, int] = {}
    for place, equation in enumerate(jaxpr.eqns):
        last |= {variable: place for variable in equation.invars if not isinstance(variable, Literal)}
    kept = {variable for variable in jaxpr.outvars if not isinstance(variable, Literal)}
    alive = dict(donated)
    total = peak = float(sum(alive.values()))
    for place, equation in enumerate(jaxpr.eqns):
        inside = max((_peak(one) for one in _called(equation)), default=0.0)
        made = {variable: _bytes(variable) for variable in equation.outvars}
        peak = max(peak, total + max(inside, sum(made.values())))
        alive |= made
        total += sum(made.values())
        used = [one for one in (*equation.invars, *equation.outvars) if not isinstance(one, Literal)]
        for variable in set(used) - kept:
            if last.get(variable, place) <= place and variable in alive:
                total -= alive.pop(variable)
    return peak
