"""From a JAX function to an ONNX model: its jaxpr is read equation by equation."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.extend import core

from serjax.inference.export import indexing, products
from serjax.inference.export.graph import IR_VERSION, OPSET, Graph, Value, is_static
from serjax.inference.export.primitives import OF_COMPLEX, RULES, Complex
from serjax.models.functional import flat
from serjax.runtime.errors import UserError
from serjax.runtime.version import __version__

if TYPE_CHECKING:
    import onnx

_MODULES = (indexing, products)
"""Modules that enter their rules when they are imported."""

_BODIES = ("jaxpr", "call_jaxpr", "fun_jaxpr", "call")
"""Parameters in which primitives that call a function keep it."""
_OWN_CONSTANTS = ("broadcast_in_dim", "reshape", "transpose", "dim_as_value")
"""Primitives whose rules know what to do with constants."""


def convert(
    function: Callable[..., Mapping[str, Any]], weights: Any, inputs: Mapping[str, jax.ShapeDtypeStruct]
) -> "onnx.ModelProto":
    """Return an ONNX model that computes what a function of JAX does.

    Args:
        function: takes the weights and the inputs, and returns arrays by name.
        weights: a pytree of arrays, which become constants.
        inputs: shapes and dtypes by name; sizes may be symbolic (`jax.export.symbolic_shape`), if each symbol is by
            itself a size of some input.

    Raises:
        UserError: onnx is not installed, or the function has a step that ONNX has no operator for here.
    """
    graph = Graph()
    traced, shapes = jax.make_jaxpr(function, return_shape=True)(weights, *inputs.values())
    tensors = [Value.constant(np.asarray(leaf), name) for name, leaf in flat(weights).items()]
    given = [Value(tuple(one.shape), np.dtype(one.dtype), name=name) for name, one in inputs.items()]
    for name, one in inputs.items():
        for axis, size in enumerate(one.shape):
            if not is_static([size]) and str(size).isidentifier():
                graph.symbol(str(size), graph.node("Shape", name, start=axis, end=axis + 1))
    results = _run(graph, traced.jaxpr, [Value.constant(one) for one in traced.consts], tensors + given)
    helper = graph.onnx.helper
    outputs = []
    for name, value, var in zip(shapes, results, traced.jaxpr.outvars, strict=True):
        made = graph.full(value, var.aval.shape)
        graph.nodes.append(helper.make_node("Identity", [graph.name(made)], [name]))
        sizes = [size if is_static([size]) else str(size) for size in made.shape]
        outputs.append(helper.make_tensor_value_info(name, graph.type_of(made.dtype), sizes))
    nodes = graph.needed([one.name for one in outputs])
    proto = helper.make_graph(
        nodes,
        "serjax",
        [
            helper.make_tensor_value_info(name, graph.type_of(one.dtype), [_size(size) for size in one.shape])
            for name, one in inputs.items()
        ],
        outputs,
        [graph.onnx.numpy_helper.from_array(np.asarray(x, order="C"), name) for name, x in graph.constants.items()],
    )
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    model.producer_name, model.producer_version = "serjax", __version__
    return model


def _size(size: Any) -> Any:
    """Return a size as ONNX declares it."""
    return int(size) if is_static([size]) else str(size)


def _run(graph: Graph, jaxpr: Any, consts: Sequence[Value], args: Sequence[Value]) -> list[Any]:
    """Add a jaxpr's equations to the graph; return its results."""
    known: dict[Any, Any] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))

    def read(var: Any) -> Any:
        return (
            Value.constant(np.asarray(var.val, getattr(var.aval, "dtype", None)))
            if isinstance(var, core.Literal)
            else known[var]
        )

    for equation in jaxpr.eqns:
        known.update(
            zip(equation.outvars, _results(graph, equation, [read(var) for var in equation.invars]), strict=True)
        )
    return [read(var) for var in jaxpr.outvars]


def _results(graph: Graph, equation: Any, values: list[Any]) -> Sequence[Any]:
    name, params = str(equation.primitive), equation.params
    body = next((params[key] for key in _BODIES if key in params), None) if name not in RULES else None
    if body is not None and name not in ("scan", "while", "cond"):
        inner = getattr(body, "jaxpr", body)
        return _run(graph, inner, [Value.constant(one) for one in getattr(body, "consts", ())], values)
    if name not in _OWN_CONSTANTS and _is_constant(equation, values):
        return _folded(graph, equation, values)
    try:
        if name not in RULES:
            raise NotImplementedError(name)
        if name not in OF_COMPLEX and any(isinstance(one, Complex) for one in values):
            raise NotImplementedError(f"{name} of complex numbers")
        return RULES[name](graph, equation, values)
    except NotImplementedError as error:
        raise UserError(
            f"the model computes `{error}`, for which serjax writes no operator of ONNX; take --to stablehlo."
        ) from None


def _is_constant(equation: Any, values: Sequence[Any]) -> bool:
    """Return whether an equation's results are known now."""
    known = all(isinstance(one, Value) and one.array is not None for one in values)
    arrays = all(is_static(var.aval.shape) for var in (*equation.invars, *equation.outvars))
    return known and arrays and not any(isinstance(one, Complex) for one in values)


def _folded(graph: Graph, equation: Any, values: Sequence[Value]) -> list[Value]:
    """Compute an equation of constants."""
    arrays = [
        np.asarray(graph.full(one, var.aval.shape).array) for one, var in zip(values, equation.invars, strict=True)
    ]
    found = equation.primitive.bind(*map(jax.numpy.asarray, arrays), **equation.params)
    label = next((one.label for one in values if one.label), "")
    several = equation.primitive.multiple_results
    return [Value.constant(np.asarray(one), label) for one in (found if several else [found])]
