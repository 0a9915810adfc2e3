from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from serjax.models.layers.depthwise import depthwise, pointwise

LAYOUT = ("NHWC", "HWIO", "NHWC")


def plain(x, kernel, stride, padding):
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=LAYOUT, feature_group_count=x.shape[-1]
    )


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def assert_same_values_and_gradients(x, kernel, stride, padding):
    functions = [partial(function, stride=stride, padding=padding) for function in (depthwise, plain)]
    cotangent = normal(*jax.eval_shape(functions[0], x, kernel).shape, seed=1)

    @partial(jax.jit, static_argnums=0)
    def both(function):
        y, back = jax.vjp(function, x, kernel)
        return y, *back(cotangent)

    for got, want in zip(both(functions[0]), both(functions[1]), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@settings(max_examples=8)
@given(
    taps=st.integers(1, 5),
    stride=st.integers(1, 2),
    extra=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    padding=st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * 2),
)
def test_values_and_gradients_are_those_of_a_convolution(taps, stride, extra, padding):
    x, kernel = normal(2, taps + extra[0], taps + extra[1], 3), normal(taps, taps, 1, 3, seed=2)
    assert_same_values_and_gradients(x, kernel, stride, padding)


@pytest.mark.parametrize(("taps", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2)])
def test_shapes_of_the_network(taps, stride):
    before = taps // 2 - (stride == 2)
    padding = ((before, taps // 2),) * 2
    assert_same_values_and_gradients(normal(9, 8, 19, 16), normal(taps, taps, 1, 16, seed=2), stride, padding)


def test_gradients_under_vmap_are_those_of_each_fold():
    x, kernel = normal(3, 2, 5, 6, 4), normal(3, 3, 3, 1, 4, seed=1)

    def gradients(x, kernel):
        return jax.grad(lambda *a: jnp.sum(jnp.sin(depthwise(*a, 2, ((0, 1), (0, 1))))), (0, 1))(x, kernel)

    together = jax.vmap(gradients)(x, kernel)
    for fold in range(3):
        for got, want in zip(together, gradients(x[fold], kernel[fold]), strict=True):
            np.testing.assert_allclose(got[fold], want, rtol=1e-5, atol=1e-5)


def test_bfloat16_sums_in_float32():
    x, kernel = normal(1, 6, 7, 4).astype(jnp.bfloat16), normal(5, 5, 1, 4, seed=1).astype(jnp.bfloat16)
    exact = plain(x.astype(jnp.float32), kernel.astype(jnp.float32), 1, ((2, 2), (2, 2)))
    got = depthwise(x, kernel, 1, ((2, 2), (2, 2)))
    assert got.dtype == jnp.bfloat16
    np.testing.assert_array_equal(got, exact.astype(jnp.bfloat16))


def test_one_tap_is_a_convolution():
    x, kernel = normal(2, 3, 4, 5), normal(1, 1, 5, 6, seed=1)
    expected = lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=LAYOUT)
    np.testing.assert_allclose(pointwise(x, kernel), expected, atol=1e-5)
