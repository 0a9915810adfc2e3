"""JAX's primitives as operators of ONNX: elementwise, reductions, and what moves elements.

Each function takes the graph, the equation of the jaxpr and its operands, and returns the results.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jax.lax import FftType

from serjax.inference.export.graph import Graph, Value


class Complex(NamedTuple):
    """A complex array by its two parts: ONNX has none."""

    real: Value
    imag: Value


Rule = Callable[[Graph, Any, list[Any]], Sequence[Any]]

RULES: dict[str, Rule] = {}
"""By the name of the primitive."""
OF_COMPLEX = {"real", "imag", "abs"}
"""Primitives whose rules take complex arrays; `moves` adds those that move elements."""


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Return a decorator that enters a function for primitives."""

    def enter(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return enter


def shape_of(equation: Any, index: int = 0) -> tuple[Any, ...]:
    """Return the shape of one of an equation's results."""
    return tuple(equation.outvars[index].aval.shape)


def full(graph: Graph, equation: Any, values: Sequence[Value]) -> list[Value]:
    """Return an equation's operands as large as the program has them."""
    return [graph.full(one, var.aval.shape) for one, var in zip(values, equation.invars, strict=True)]


def _same(op: str, dtype: Any = None) -> Rule:
    return lambda graph, equation, values: [graph.elementwise(op, *values, dtype=dtype)]


_SAME = {
    "add": "Add",
    "add_any": "Add",
    "sub": "Sub",
    "mul": "Mul",
    "div": "Div",
    "max": "Max",
    "min": "Min",
    "pow": "Pow",
    "neg": "Neg",
    "sign": "Sign",
    "floor": "Floor",
    "ceil": "Ceil",
    "exp": "Exp",
    "log": "Log",
    "sqrt": "Sqrt",
    "tanh": "Tanh",
    "sin": "Sin",
    "cos": "Cos",
    "erf": "Erf",
    "logistic": "Sigmoid",
}
RULES.update({name: _same(op) for name, op in _SAME.items()})
_COMPARED = {"eq": "Equal", "lt": "Less", "le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual"}
RULES.update({name: _same(op, np.bool_) for name, op in _COMPARED.items()})


@rule("stop_gradient", "copy", "copy_p", "optimization_barrier", "reduce_precision")
def _identity(graph: Graph, equation: Any, values: list[Any]) -> list[Any]:
    return values


@rule("ne")
def _not_equal(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    return [graph.unary("Not")(graph.elementwise("Equal", *values, dtype=np.bool_))]


@rule("and", "or", "not")
def _logical(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    name = str(equation.primitive)
    if values[0].dtype != np.bool_:
        raise NotImplementedError(f"{name} of {values[0].dtype}")
    return [graph.elementwise(name.capitalize(), *values)]


@rule("rem")
def _remainder(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    return [graph.elementwise("Mod", *values, fmod=1)]


@rule("square")
def _square(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    return [graph.elementwise("Mul", values[0], values[0])]


@rule("integer_pow")
def _integer_pow(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    power = Value.constant(np.array(equation.params["y"], values[0].dtype))
    return [graph.elementwise("Pow", values[0], power)]


@rule("rsqrt")
def _rsqrt(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    return [graph.unary("Reciprocal")(graph.unary("Sqrt")(values[0]))]


@rule("log1p")
def _log1p(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    one = Value.constant(np.ones((), values[0].dtype))
    return [graph.unary("Log")(graph.elementwise("Add", values[0], one))]


@rule("abs")
def _abs(graph: Graph, equation: Any, values: list[Any]) -> list[Value]:
    if not isinstance(values[0], Complex):
        return [graph.unary("Abs")(values[0])]
    squares = [graph.elementwise("Mul", part, part) for part in values[0]]
    return [graph.unary("Sqrt")(graph.elementwise("Add", *squares))]


@rule("clamp")
def _clamp(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    low, x, high = values
    return [graph.elementwise("Min", graph.elementwise("Max", x, low), high)]


@rule("select_n")
def _select(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    which, no, *yes = values
    if which.dtype != np.bool_ or len(yes) != 1:
        raise NotImplementedError("select_n of several cases")
    return [graph.elementwise("Where", which, yes[0], no, dtype=no.dtype)]


@rule("convert_element_type")
def _convert(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    return [graph.cast(values[0], equation.params["new_dtype"])]


@rule("reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_and", "reduce_or")
def _reduce(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    name, axes = str(equation.primitive), [int(axis) for axis in equation.params["axes"]]
    (x,) = full(graph, equation, values)
    op = {"reduce_and": "ReduceMin", "reduce_or": "ReduceMax"}.get(name, "Reduce" + name[7:].capitalize())
    dtype, logical = x.dtype, x.dtype == np.bool_
    x = graph.cast(x, np.int32) if logical else x
    kept = tuple(size for axis, size in enumerate(x.shape) if axis not in axes)
    reduced = Value(kept, x.dtype, name=graph.node(op, graph.name(x), graph.integers(axes), keepdims=0))
    return [graph.cast(reduced, dtype) if logical else reduced]


@rule("argmax", "argmin")
def _arg(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    (x,), (axis,) = full(graph, equation, values), equation.params["axes"]
    op = {"argmax": "ArgMax", "argmin": "ArgMin"}[str(equation.primitive)]
    name = graph.node(op, graph.name(x), axis=int(axis), keepdims=0)
    return [graph.cast(Value(shape_of(equation), np.dtype(np.int64), name=name), equation.params["index_dtype"])]


def moves(*names: str) -> Callable[[Rule], Rule]:
    """Return a decorator as `rule`, for what moves elements and so does the same with both parts of complex arrays."""
    OF_COMPLEX.update(names)

    def enter(function: Rule) -> Rule:
        def both(graph: Graph, equation: Any, values: list[Any]) -> Sequence[Any]:
            if not any(isinstance(one, Complex) for one in values):
                return function(graph, equation, values)
            parts = (function(graph, equation, [getattr(one, part) for one in values]) for part in Complex._fields)
            return [Complex(*pair) for pair in zip(*parts, strict=True)]

        return rule(*names)(both)

    return enter


@moves("reshape")
def _reshape(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    (x,) = full(graph, equation, values)
    order = equation.params["dimensions"]
    return [graph.reshape(x if order is None else graph.transpose(x, order), shape_of(equation))]


@moves("broadcast_in_dim")
def _broadcast(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    if len(values) > 1:
        raise NotImplementedError("broadcast_in_dim with sizes among its operands")
    places, rank = [int(axis) for axis in equation.params["broadcast_dimensions"]], len(equation.params["shape"])
    sizes = dict(zip(places, values[0].shape, strict=True))
    shape = tuple(sizes.get(axis, 1) for axis in range(rank))
    if values[0].array is not None:
        return [Value(shape, values[0].dtype, values[0].array.reshape(shape), label=values[0].label)]
    new = [axis for axis in range(rank) if axis not in sizes]
    name = graph.node("Unsqueeze", graph.name(values[0]), graph.integers(new)) if new else values[0].name
    return [Value(shape, values[0].dtype, name=name)]


@moves("squeeze")
def _squeeze(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    axes = [int(axis) for axis in equation.params["dimensions"]]
    shape = tuple(size for axis, size in enumerate(values[0].shape) if axis not in axes)
    return [Value(shape, values[0].dtype, name=graph.node("Squeeze", graph.name(values[0]), graph.integers(axes)))]


@moves("transpose")
def _transpose(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    return [graph.transpose(values[0], equation.params["permutation"])]


@rule("concatenate")
def _concatenate(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    names = [graph.name(one) for one in full(graph, equation, values)]
    joined = graph.node("Concat", *names, axis=int(equation.params["dimension"]))
    return [Value(shape_of(equation), values[0].dtype, name=joined)]


@rule("stack")
def _stack(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    axis = int(equation.params["axis"])
    names = [graph.name(one) for one in full(graph, equation, values)]
    names = [graph.node("Unsqueeze", one, graph.integers([axis])) for one in names]
    stacked = names[0] if len(names) == 1 else graph.node("Concat", *names, axis=axis)
    return [Value(shape_of(equation), values[0].dtype, name=stacked)]


@rule("split")
def _split(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    (x,), sizes = full(graph, equation, values), [int(size) for size in equation.params["sizes"]]
    given = (graph.name(x), graph.integers(sizes))
    names = graph.node("Split", *given, outputs=len(sizes), axis=int(equation.params["axis"]))
    names = [names] if len(sizes) == 1 else names
    return [Value(shape_of(equation, index), x.dtype, name=name) for index, name in enumerate(names)]


@moves("slice")
def _slice(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    params, shape = equation.params, shape_of(equation)
    (x,) = full(graph, equation, values)
    steps = params["strides"] or (1,) * len(shape)
    for axis, (begin, end, step) in enumerate(
        zip(params["start_indices"], params["limit_indices"], steps, strict=True)
    ):
        if x.shape[axis] != shape[axis]:
            x = graph.slice(x, begin, end, axis, int(step), size=shape[axis])
    return [x]


@moves("rev")
def _reverse(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    (x,) = full(graph, equation, values)
    for axis in equation.params["dimensions"]:
        x = graph.slice(x, -1, 0, int(axis), -1, size=x.shape[axis])
    return [x]


@rule("pad")
def _pad(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    x, filling = full(graph, equation, values)
    config = equation.params["padding_config"]
    if any(inner for _, _, inner in config):
        raise NotImplementedError("pad between elements")
    pads = graph.sizes([low for low, _, _ in config] + [high for _, high, _ in config])
    name = graph.node("Pad", graph.name(x), pads, graph.name(filling))
    return [Value(shape_of(equation), x.dtype, name=name)]


@rule("tile")
def _tile(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    (x,) = full(graph, equation, values)
    name = graph.node("Tile", graph.name(x), graph.sizes(equation.params["reps"]))
    return [Value(shape_of(equation), x.dtype, name=name)]


@rule("iota")
def _iota(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    shape, axis = shape_of(equation), equation.params["dimension"]
    empty = graph.integers([])
    zero, one = (Value.constant(np.array(number, np.int64)) for number in (0, 1))
    stop = graph.node("Reshape", graph.dim(shape[axis]), empty)
    counted = Value(
        (shape[axis],), np.dtype(np.int64), name=graph.node("Range", graph.name(zero), stop, graph.name(one))
    )
    counted = graph.cast(counted, equation.params["dtype"])
    new = [other for other in range(len(shape)) if other != axis]
    name = graph.node("Unsqueeze", counted.name, graph.integers(new)) if new else counted.name
    return [Value(tuple(shape[axis] if one == axis else 1 for one in range(len(shape))), counted.dtype, name=name)]


@rule("dim_as_value")
def _dim_as_value(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    scalar = graph.node("Reshape", graph.dim(equation.params["dim"]), graph.integers([]))
    return [graph.cast(Value((), np.dtype(np.int64), name=scalar), equation.outvars[0].aval.dtype)]


@rule("fft")
def _fft(graph: Graph, equation: Any, values: list[Value]) -> list[Complex]:
    (x,), shape = full(graph, equation, values), shape_of(equation)
    if equation.params["fft_type"] != FftType.RFFT or len(equation.params["fft_lengths"]) != 1:
        raise NotImplementedError("fft of complex numbers or of several axes")
    last = len(shape)
    name = graph.node("Unsqueeze", graph.name(x), graph.integers([last]))
    both = Value((*shape, 2), x.dtype, name=graph.node("DFT", name, axis=last - 1, onesided=1))
    halves = graph.node("Split", both.name, graph.integers([1, 1]), outputs=2, axis=last)
    return [
        Complex(*(Value(shape, x.dtype, name=graph.node("Squeeze", one, graph.integers([last]))) for one in halves))
    ]


@rule("real", "imag")
def _part(graph: Graph, equation: Any, values: list[Complex]) -> list[Value]:
    return [getattr(values[0], str(equation.primitive))]
