"""ONNX graphs under construction: constants, nodes, and sizes that are known only when the model is called."""

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from serjax.runtime.errors import MissingPackage

if TYPE_CHECKING:
    import onnx

OPSET = 18
"""Version of ONNX's operators: of 2022, which ONNX Runtime knows from 1.14 on, in browsers too."""
IR_VERSION = 8
"""Version of the file format, of the same year."""

Dim = Any
"""A size: an integer, or a symbolic dimension of `jax.export`."""

_FURTHEST = np.iinfo(np.int64).min


def import_onnx() -> Any:
    """Return the package onnx.

    Raises:
        MissingPackage: it is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise MissingPackage("onnx", "onnx", "ONNX files are written") from None
    return onnx


@dataclass(frozen=True, eq=False)
class Value:
    """An array of a program that becomes a graph.

    Attributes:
        shape: its sizes. An axis along which the program has repeated the array may be 1 still: operators of ONNX
            repeat by themselves, and what does not calls `Graph.full`.
        dtype: of its elements.
        array: the elements, where they are known.
        name: in the graph, where they are not.
        label: of a parameter, for the name of its constant.
    """

    shape: tuple[Dim, ...]
    dtype: np.dtype[Any]
    array: np.ndarray | None = None
    name: str = ""
    label: str = ""

    @classmethod
    def constant(cls, array: Any, label: str = "") -> "Value":
        """Return a constant."""
        array = np.asarray(array)
        return cls(array.shape, array.dtype, array, label=label)


def is_static(shape: Sequence[Dim]) -> bool:
    """Return whether all sizes are known."""
    return all(isinstance(size, int | np.integer) for size in shape)


class Graph:
    """Nodes and constants of an ONNX graph."""

    def __init__(self) -> None:
        """Start empty."""
        self.onnx = import_onnx()
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self._names: dict[int, str] = {}
        self._dims: dict[str, str] = {}
        self._count = 0

    def node(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Add a node; return the name of its output, or a list of several."""
        self._count += 1
        names = [f"{op}_{self._count}" + (f"_{index}" if index else "") for index in range(outputs)]
        self.nodes.append(self.onnx.helper.make_node(op, inputs, names, f"{op}_{self._count}", **attributes))
        return names[0] if outputs == 1 else names

    def name(self, value: Value) -> str:
        """Return a value's name in the graph; a constant is added to it."""
        if value.array is None:
            return value.name
        if id(value.array) not in self._names:
            name = f"{value.label or 'constant'}_{len(self.constants)}"
            self._names[id(value.array)] = name
            # The array is kept, or its id would be given to another.
            self.constants[name] = value.array
        return self._names[id(value.array)]

    def integers(self, values: Sequence[int]) -> str:
        """Return the name of a constant of int64 [n]."""
        array = np.array(values, np.int64)
        name = f"integers_{'_'.join(map(str, array.tolist()))}"
        self.constants.setdefault(name, array)
        return name

    def symbol(self, symbol: str, name: str) -> None:
        """Let a symbol of sizes stand for a value of int64 [1] in the graph."""
        self._dims[symbol] = name

    def dim(self, size: Dim) -> str:
        """Return the name of a size as int64 [1]; symbolic ones are computed when the model is called."""
        if isinstance(size, int | np.integer):
            return self.integers([int(size)])
        text = str(size)
        if text not in self._dims:
            self._dims[text] = self._computed(ast.parse(text.replace("^", "**"), mode="eval").body)
        return self._dims[text]

    def _computed(self, tree: ast.expr) -> str:
        """Return the name of what a formula of sizes gives: `floordiv(t - 20, 10) + 1`."""
        if isinstance(tree, ast.Constant):
            return self.integers([int(str(tree.value))])
        text = ast.unparse(tree)
        if text not in self._dims:
            match tree:
                case ast.BinOp(left, ast.Add() | ast.Sub() | ast.Mult() | ast.Pow() as op, right):
                    name = {ast.Sub: "Sub", ast.Mult: "Mul", ast.Pow: "Pow"}.get(type(op), "Add")
                    self._dims[text] = self.node(name, self._computed(left), self._computed(right))
                case ast.UnaryOp(ast.USub(), operand):
                    self._dims[text] = self.node("Neg", self._computed(operand))
                case ast.Call(ast.Name("floordiv"), [left, right]):
                    # ONNX divides towards zero.
                    a, b = self._computed(left), self._computed(right)
                    self._dims[text] = self.node("Div", self.node("Sub", a, self.node("Mod", a, b)), b)
                case ast.Call(ast.Name("mod" | "max" | "min" as function), [left, right]):
                    a, b = self._computed(left), self._computed(right)
                    self._dims[text] = self.node(function.capitalize(), a, b)
                case _:
                    raise ValueError(f"a size is {text}, which no operators of ONNX are known for")
        return self._dims[text]

    def sizes(self, shape: Sequence[Dim]) -> str:
        """Return the name of sizes as int64 [n]."""
        if is_static(shape):
            return self.integers([int(size) for size in shape])
        return str(self.node("Concat", *map(self.dim, shape), axis=0))

    def full(self, value: Value, shape: Sequence[Dim]) -> Value:
        """Return a value repeated along the axes where it is 1 and the shape is not."""
        if tuple(value.shape) == tuple(shape):
            return value
        if value.array is not None and is_static(shape):
            return replace(value, shape=tuple(shape), array=np.broadcast_to(value.array, shape), name="")
        repeated = self.node("Expand", self.name(value), self.sizes(shape))
        return Value(tuple(shape), value.dtype, name=repeated)

    def type_of(self, dtype: Any) -> int:
        """Return ONNX's number of a dtype."""
        return int(self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def cast(self, value: Value, dtype: Any) -> Value:
        """Return a value in another dtype."""
        if value.dtype == np.dtype(dtype):
            return value
        return Value(value.shape, np.dtype(dtype), name=self.node("Cast", self.name(value), to=self.type_of(dtype)))

    def reshape(self, value: Value, shape: Sequence[Dim]) -> Value:
        """Return a value, which must be full, in another shape."""
        if value.array is not None and is_static(shape):
            return replace(value, shape=tuple(shape), array=value.array.reshape(shape), name="")
        # 0 copies the size at that place, -1 is what is left: then nothing has to be computed.
        copied = [
            0 if axis < len(value.shape) and value.shape[axis] == size and not isinstance(size, int) else size
            for axis, size in enumerate(shape)
        ]
        unknown = [axis for axis, size in enumerate(copied) if not isinstance(size, int | np.integer)]
        if len(unknown) == 1:
            copied[unknown[0]] = -1
        target = self.sizes(shape) if len(unknown) > 1 else self.integers([int(size) for size in copied])
        return Value(tuple(shape), value.dtype, name=self.node("Reshape", self.name(value), target))

    def transpose(self, value: Value, axes: Sequence[int]) -> Value:
        """Return a value with its axes in another order."""
        axes = [int(axis) for axis in axes]
        if axes == list(range(len(axes))):
            return value
        shape = tuple(value.shape[axis] for axis in axes)
        if value.array is not None:
            return replace(value, shape=shape, array=value.array.transpose(axes))
        return Value(shape, value.dtype, name=self.node("Transpose", self.name(value), perm=axes))

    def slice(self, value: Value, begin: Dim, end: Dim, axis: int, step: int = 1, *, size: Dim) -> Value:
        """Return a stretch of one axis, which has `size` elements; a negative step reads all of it backwards."""
        end_name = self.integers([_FURTHEST]) if step < 0 else self.dim(end)
        given = (self.dim(begin), end_name, self.integers([axis]), self.integers([step]))
        shape = (*value.shape[:axis], size, *value.shape[axis + 1 :])
        return Value(shape, value.dtype, name=self.node("Slice", self.name(value), *given))

    def unary(self, op: str) -> Callable[[Value], Value]:
        """Return what adds an operator that computes each element for itself."""
        return lambda value: Value(value.shape, value.dtype, name=self.node(op, self.name(value)))

    def elementwise(self, op: str, *values: Value, dtype: Any = None, **attributes: Any) -> Value:
        """Return what an operator computes of elements at the same places of values that it repeats as needed."""
        rank = max(len(value.shape) for value in values)
        shapes = [value.shape or (1,) * rank for value in values]
        shape = tuple(
            next((size for size in sizes if not (isinstance(size, int) and size == 1)), 1)
            for sizes in zip(*shapes, strict=True)
        )
        name = self.node(op, *map(self.name, values), **attributes)
        return Value(shape, np.dtype(dtype or values[0].dtype), name=name)

    def needed(self, outputs: Sequence[str]) -> "list[onnx.NodeProto]":
        """Return the nodes that some names depend on, in their order; constants of others are dropped."""
        wanted, kept = set(outputs), []
        for node in reversed(self.nodes):
            if wanted & set(node.output):
                wanted |= set(node.input)
                kept.append(node)
        self.constants = {name: array for name, array in self.constants.items() if name in wanted}
        return kept[::-1]
