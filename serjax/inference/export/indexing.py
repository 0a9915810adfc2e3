"""JAX's gather as operators of ONNX: rows, stretches or elements picked by their places."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from serjax.inference.export.graph import Dim, Graph, Value
from serjax.inference.export.primitives import full, rule, shape_of


@rule("gather")
def _gather(graph: Graph, equation: Any, values: list[Value]) -> list[Value]:
    """Return what is picked along some axes; all is kept along the others."""
    table, places = full(graph, equation, values)
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    if numbers.operand_batching_dims:
        return [_own_of_each_row(graph, equation, table, places)]
    collapsed = {int(axis) for axis in numbers.collapsed_slice_dims}
    mapped = [int(axis) for axis in numbers.start_index_map]
    # Along an axis that is taken whole there is one place to begin at.
    columns = [at for at, axis in enumerate(mapped) if sizes[axis] != table.shape[axis] or axis in collapsed]
    axes = [mapped[at] for at in columns]
    whole = all(size == table.shape[axis] for axis, size in enumerate(sizes) if axis not in mapped)
    clipped = "CLIP" in str(equation.params["mode"])
    if not whole:
        raise NotImplementedError("gather of parts of rows that begin where their table does")
    if len(places.shape) == 1 and places.array is not None and not collapsed:
        for axis, begin in zip(axes, places.array[columns].tolist(), strict=True):
            table = graph.slice(table, begin, begin + sizes[axis], axis, size=sizes[axis])
        return [table]
    index = _columns(graph, places, columns)
    if len(axes) == 1:
        made = _along(graph, table, index, axes[0], sizes[axes[0]], clipped=clipped)
        if axes[0] in collapsed:
            made = _squeezed(graph, made, axes[0] + len(places.shape) - 1)
        first = axes[0]
    elif set(axes) == collapsed and not clipped:
        rest = [axis for axis in range(len(table.shape)) if axis not in axes]
        name = graph.node("GatherND", graph.name(graph.transpose(table, axes + rest)), graph.name(index))
        made = Value((*index.shape[:-1], *(table.shape[axis] for axis in rest)), table.dtype, name=name)
        first = 0
    else:
        raise NotImplementedError("gather of stretches along several axes")
    # ONNX has the places where the axis was; JAX has the axes of a row where `offset_dims` says.
    count, offsets = len(places.shape) - 1, [int(axis) for axis in numbers.offset_dims]
    picked = iter(range(first, first + count))
    kept = iter([*range(first), *range(first + count, len(made.shape))])
    order = [next(kept) if at in offsets else next(picked) for at in range(len(made.shape))]
    return [graph.transpose(made, order)]


def _columns(graph: Graph, places: Value, columns: Sequence[int]) -> Value:
    """Return the places along some of the axes [... n], as int64."""
    shape = (*places.shape[:-1], len(columns))
    if places.array is not None:
        return Value.constant(places.array[..., list(columns)].astype(np.int64))
    places = graph.cast(places, np.int64)
    if len(columns) == places.shape[-1]:
        return places
    picked = graph.node("Gather", places.name, graph.integers(columns), axis=len(shape) - 1)
    return Value(shape, places.dtype, name=picked)


def _along(graph: Graph, table: Value, index: Value, axis: int, length: Dim, *, clipped: bool) -> Value:
    """Return stretches of an equal length along one axis, which begin at places [... 1]."""
    if not isinstance(length, int | np.integer):
        raise NotImplementedError("gather of stretches whose length is known only when it is called")
    within = np.arange(length, dtype=np.int64).reshape(*(1,) * (len(index.shape) - 1), -1)
    if index.array is not None:
        index = Value.constant(index.array + within)
    elif length > 1:
        begins = graph.elementwise("Add", index, Value.constant(within))
        index = Value((*index.shape[:-1], length), index.dtype, name=begins.name)
    if clipped and index.array is None:
        highest = graph.node("Sub", graph.dim(table.shape[axis]), graph.integers([1]))
        low = graph.node("Max", index.name, graph.integers([0]))
        index = Value(index.shape, index.dtype, name=graph.node("Min", low, highest))
    shape = (*table.shape[:axis], *index.shape, *table.shape[axis + 1 :])
    return Value(shape, table.dtype, name=graph.node("Gather", graph.name(table), graph.name(index), axis=axis))


def _squeezed(graph: Graph, value: Value, axis: int) -> Value:
    """Return a value without an axis of 1."""
    name = graph.node("Squeeze", graph.name(value), graph.integers([axis]))
    return Value((*value.shape[:axis], *value.shape[axis + 1 :]), value.dtype, name=name)


def _own_of_each_row(graph: Graph, equation: Any, table: Value, places: Value) -> Value:
    """Return elements that are picked along one axis, in each row its own: `jnp.take_along_axis`."""
    numbers = equation.params["dimension_numbers"]
    axes = [int(axis) for axis in numbers.start_index_map]
    rows = [axis for axis in range(len(table.shape)) if axis not in axes]
    given = (numbers.operand_batching_dims, numbers.start_indices_batching_dims)
    same = all([int(axis) for axis in dims] == rows for dims in given)
    if len(axes) != 1 or not same or len(places.shape) != len(table.shape) + 1:
        raise NotImplementedError("gather of a row's own rows")
    index = _squeezed(graph, graph.cast(places, np.int64), len(table.shape))
    name = graph.node("GatherElements", graph.name(table), graph.name(index), axis=axes[0])
    return Value(shape_of(equation), table.dtype, name=name)
