"""JAX's sums of products as operators of ONNX: matrix products and convolutions."""

from collections.abc import Sequence
from string import ascii_lowercase
from typing import Any

import numpy as np

from serjax.inference.export.graph import Graph, Value, is_static
from serjax.inference.export.primitives import full, rule, shape_of


@rule("dot_general")
def _dot_general(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    """Return a product of arrays: as MatMul where one of both has one free axis or is constant, else as Einsum."""
    (contract, batch), (left, right) = equation.params["dimension_numbers"], full(graph, equation, values)
    shape, dtype = shape_of(equation), equation.outvars[0].aval.dtype
    contract, batch = ([[int(axis) for axis in side] for side in pair] for pair in (contract, batch))
    free = [
        [axis for axis in range(len(x.shape)) if axis not in summed + kept]
        for x, summed, kept in zip((left, right), contract, batch, strict=True)
    ]
    if left.array is not None and not batch[0]:
        # A weight on the left: the product of the transposed has it on the right.
        swapped = _product(graph, right, left, contract[::-1], free[::-1])
        if swapped is not None:
            order = list(range(len(free[1]), len(shape))) + list(range(len(free[1])))
            return [graph.cast(graph.transpose(swapped, order), dtype)]
    if not batch[0]:
        found = _product(graph, left, right, contract, free)
        if found is not None:
            return [graph.cast(found, dtype)]
    elif len(contract[0]) == 1 and len(free[0]) >= 1 and len(free[1]) == 1:
        a = graph.transpose(left, batch[0] + free[0] + contract[0])
        b = graph.transpose(right, batch[1] + contract[1] + free[1])
        rest = len(free[0]) - 1
        if rest:
            kept = len(batch[1])
            b = graph.reshape(b, (*b.shape[:kept], *(1,) * rest, *b.shape[kept:]))
        name = graph.node("MatMul", graph.name(a), graph.name(b))
        return [graph.cast(Value(shape, left.dtype, name=name), dtype)]
    letters = iter(ascii_lowercase)
    names: list[dict[int, str]] = [{}, {}]
    for first, second in zip(batch[0] + contract[0], batch[1] + contract[1], strict=True):
        names[0][first] = names[1][second] = next(letters)
    for side, axes in zip(names, free, strict=True):
        side.update({axis: next(letters) for axis in axes})
    terms = ["".join(side[axis] for axis in sorted(side)) for side in names]
    result = [names[0][axis] for axis in batch[0] + free[0]] + [names[1][axis] for axis in free[1]]
    spec = f"{terms[0]},{terms[1]}->{''.join(result)}"
    name = graph.node("Einsum", graph.name(left), graph.name(right), equation=spec)
    return [graph.cast(Value(shape, left.dtype, name=name), dtype)]


def _product(
    graph: Graph, left: Value, right: Value, contract: Sequence[list[int]], free: Sequence[list[int]]
) -> Value | None:
    """Return the product of any array with one of static size, as a matrix; None where neither fits that."""
    if right.array is None or not is_static(right.shape):
        return None
    b = graph.transpose(right, contract[1] + free[1])
    rows = int(np.prod([right.shape[axis] for axis in contract[1]]))
    outer = tuple(right.shape[axis] for axis in free[1])
    b = graph.reshape(b, (rows, int(np.prod(outer))))
    a, kept = graph.transpose(left, free[0] + contract[0]), tuple(left.shape[axis] for axis in free[0])
    if len(contract[0]) != 1:
        a = graph.reshape(a, (*kept, rows))
    if not kept:
        a = graph.reshape(a, (1, rows))
    name = graph.node("MatMul", graph.name(a), graph.name(b))
    product = Value((*(kept or (1,)), b.shape[1]), left.dtype, name=name)
    return product if len(outer) == 1 and kept else graph.reshape(product, (*kept, *outer))


@rule("conv_general_dilated")
def _convolution(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    params, (x, kernel) = equation.params, full(graph, equation, values)
    if params["batch_group_count"] != 1 or any(step != 1 for step in params["lhs_dilation"]):
        raise NotImplementedError("conv_general_dilated of groups of the batch, or of a spread input")
    numbers = params["dimension_numbers"]
    name = graph.node(
        "Conv",
        graph.name(graph.transpose(x, numbers.lhs_spec)),
        graph.name(graph.transpose(kernel, numbers.rhs_spec)),
        strides=[int(step) for step in params["window_strides"]],
        pads=[int(low) for low, _ in params["padding"]] + [int(high) for _, high in params["padding"]],
        dilations=[int(step) for step in params["rhs_dilation"]],
        group=int(params["feature_group_count"]),
    )
    shape = shape_of(equation)
    found = Value(tuple(shape[axis] for axis in numbers.out_spec), x.dtype, name=name)
    return [graph.transpose(found, np.argsort(numbers.out_spec).tolist())]
