"""Graphs: sizes that are computed when the model is called, and constants that stand once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_runs import same, session

from serjax.inference.export.converter import convert
from serjax.inference.export.graph import Graph, Value, is_static

pytest.importorskip("onnx", reason="needs the extra onnx")
pytestmark = pytest.mark.onnx
SIZES = {
    "sum": lambda b, t: 3 * t - 2 * b + 7,
    "floordiv": lambda b, t: (t - 20) // 10,
    "below_zero": lambda b, t: (b - t) // 7,
    "mod": lambda b, t: t % 16 + (b - t) % 5,
    "product": lambda b, t: b * t * t - b,
    "max_min": lambda b, t: jax.core.max_dim(b, t) - jax.core.min_dim(2 * b, t),
    "nested": lambda b, t: (((t - 10) // 5 + 1 - 8) // 8) * b,
}


@pytest.fixture(scope="module")
def sizes():
    shape = jax.export.symbolic_shape("b, t")

    def called(weights, x):
        return {name: jnp.asarray(size(*x.shape), jnp.int32) for name, size in SIZES.items()}

    return session(convert(called, {}, {"x": jax.ShapeDtypeStruct(shape, jnp.float32)}))


@settings(max_examples=50)
@given(st.integers(1, 20), st.integers(1, 4000))
def test_sizes_are_computed_as_python_does(sizes, b, t):
    found = sizes.run(None, {"x": np.zeros((b, t), np.float32)})
    expected = {name: size(b, t) for name, size in SIZES.items()}
    names = [output.name for output in sizes.get_outputs()]
    assert dict(zip(names, map(int, found), strict=True)) == expected


def test_a_repeated_array_is_no_larger_in_the_file():
    table = jnp.arange(5.0)
    model = same(
        lambda w, x: x + jnp.broadcast_to(w, x.shape), np.ones((9, 5), np.float32), weights={"w": table}, spec="b, _"
    )
    assert [list(one.dims) for one in model.graph.initializer] == [[1, 5]]


def test_an_array_that_is_used_twice_stands_once():
    graph = Graph()
    value = Value.constant(np.ones(3, np.float32), "weight")
    assert graph.name(value) == graph.name(value)
    assert list(graph.constants) == ["weight_0"]


def test_what_no_output_needs_is_left_out():
    graph = Graph()
    kept = graph.node("Neg", "x")
    graph.node("Add", "x", graph.name(Value.constant(np.ones(1))))
    assert [node.op_type for node in graph.needed([kept])] == ["Neg"]
    assert graph.constants == {}


def test_symbolic_sizes_are_not_static():
    assert is_static((1, np.int64(2)))
    assert not is_static(jax.export.symbolic_shape("b, 2"))
