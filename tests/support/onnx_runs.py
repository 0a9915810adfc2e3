"""Functions of JAX converted to ONNX and run by ONNX Runtime, beside what JAX itself computes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest


def session(model):
    """Return a session of a model, or of its file."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model if isinstance(model, str) else model.SerializeToString(), options)


def same(function, *arrays, spec=None, weights=None, atol=1e-5):
    """Hold an ONNX model of `function` to what it returns; `spec` names symbolic sizes of the first array.

    Return the model.
    """
    onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
    from serjax.inference.export.converter import convert

    named = {f"x{index}": jnp.asarray(array) for index, array in enumerate(arrays)}
    shapes = {name: jax.ShapeDtypeStruct(array.shape, array.dtype) for name, array in named.items()}
    if spec is not None:
        shape = jax.export.symbolic_shape(spec, like=named["x0"].shape)
        shapes["x0"] = jax.ShapeDtypeStruct(shape, named["x0"].dtype)
    weights = weights or {}

    def called(weights, *arrays):
        found = function(*weights.values(), *arrays)
        return {f"y{index}": one for index, one in enumerate(found if isinstance(found, tuple) else (found,))}

    model = convert(called, weights, shapes)
    onnx.checker.check_model(model, full_check=True)
    expected = called(weights, *named.values())
    found = session(model).run(None, {name: np.asarray(array) for name, array in named.items()})
    for one, (name, other) in zip(found, expected.items(), strict=True):
        assert one.dtype == other.dtype, name
        assert one.shape == other.shape, name
        np.testing.assert_allclose(one, other, atol=atol, rtol=1e-5)
    return model
