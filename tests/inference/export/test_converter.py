"""From jaxprs to ONNX models: calls are entered, constants are computed, and what has no operator is named."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from onnx_runs import same

from serjax.inference.export.converter import convert
from serjax.runtime.errors import UserError

pytest.importorskip("onnx", reason="needs the extra onnx")
pytestmark = pytest.mark.onnx
X = np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)


@jax.custom_vjp
def doubled(x):
    return 2 * x


doubled.defvjp(lambda x: (2 * x, None), lambda _, gradient: (2 * gradient,))


def test_functions_that_are_called_are_entered():
    same(lambda x: jax.jit(lambda y: jax.nn.relu(y) + doubled(y))(x) + jax.checkpoint(jnp.tanh)(x), X, spec="b, _")


def test_a_mapped_axis_of_weights():
    weights = {"w": jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 5)), jnp.float32)}
    same(lambda w, x: jax.vmap(lambda one: x @ one, out_axes=1)(w), X, weights=weights, spec="b, _")


def test_arrays_of_no_input_are_computed_now():
    model = same(lambda w, x: x * jnp.sqrt(jnp.sum(w**2)), X, weights={"w": jnp.arange(1000.0)})
    assert [node.op_type for node in model.graph.node] == ["Mul", "Identity"]
    assert all(np.prod(one.dims) < 1000 for one in model.graph.initializer)


def test_an_output_that_is_an_input_or_constant():
    same(lambda x: (x, jnp.ones(3), jnp.float32(2)), X)


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (lambda x: jnp.sort(x), "sort"),
        (lambda x: jax.lax.scan(lambda total, row: (total + row, total), x[0], x)[1], "scan"),
        (lambda x: jax.lax.bitcast_convert_type(x, jnp.int32), "bitcast_convert_type"),
        (lambda x: jnp.fft.rfft(x) * 2, "mul of complex numbers"),
        (lambda x: jnp.fft.fft(x).real, "fft of complex numbers"),
    ],
)
def test_a_step_without_an_operator_is_named_in_a_sentence(function, named):
    with pytest.raises(UserError, match=f"the model computes `{named}.*no operator of ONNX; take --to stablehlo"):
        convert(lambda weights, x: {"y": function(x)}, {}, {"x": jax.ShapeDtypeStruct(X.shape, jnp.float32)})
