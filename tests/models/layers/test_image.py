"""Layers on maps: initial weights of PyTorch's size, convolutions, and pooling."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from serjax.models.layers.image import adaptive_average, conv, convolve, linear, max_pool


def maps(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.mark.parametrize("make", [lambda rngs: linear(50, 40, rngs), lambda rngs: conv(2, 40, 5, rngs, bias=True)])
def test_initial_weights_are_uniform_up_to_one_over_the_root_of_inputs(make):
    layer = make(nnx.Rngs(0))
    bound = 1 / np.sqrt(50)
    for values in (layer.kernel[...], layer.bias[...]):
        assert 0.85 * bound < np.abs(values).max() <= bound
        assert abs(values.mean()) < 0.35 * bound
    assert layer.kernel[...].std() == pytest.approx(bound / np.sqrt(3), rel=0.05)


@pytest.mark.parametrize("taps", [1, 3, 7])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("bias", [False, True])
def test_convolve_equals_lax(taps, stride, bias):
    layer = conv(3, 5, taps, nnx.Rngs(0), bias=bias)
    x = maps(2, 9, 12, 3)
    half = taps // 2
    expected = lax.conv_general_dilated(
        x, layer.kernel[...], (stride, stride), [(half, half)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    found = convolve(layer, x, stride)
    np.testing.assert_allclose(found, expected + (layer.bias[...] if bias else 0), atol=1e-5)
    if stride == 1:
        assert found.shape == (2, 9, 12, 5)


@pytest.mark.parametrize(("size", "padding"), [(2, 0), (3, 0), (3, 1)])
@pytest.mark.parametrize("shape", [(8, 8), (7, 10)])
def test_max_pool_equals_reduce_window(size, padding, shape):
    x = maps(2, *shape, 3)
    pad = [(0, 0), (padding, padding), (padding, padding), (0, 0)]
    expected = lax.reduce_window(x, -jnp.inf, lax.max, (1, size, size, 1), (1, 2, 2, 1), pad)
    np.testing.assert_array_equal(max_pool(x, size, padding=padding), expected)


def test_max_pool_has_finite_gradients_at_its_border():
    gradient = jax.grad(lambda x: max_pool(x, 3, padding=1).sum())(maps(1, 5, 5, 2))
    assert jnp.isfinite(gradient).all()


@pytest.mark.parametrize(("height", "width", "size"), [(1, 1, 3), (5, 12, 1), (7, 4, 3), (2, 9, 5)])
def test_adaptive_average_is_the_mean_over_each_window(height, width, size):
    x = np.asarray(maps(1, height, width, 2))
    found = adaptive_average(jnp.asarray(x), size)
    assert found.shape == (1, size, size, 2)
    for i in range(size):
        for j in range(size):
            rows = slice(i * height // size, -(-(i + 1) * height // size))
            columns = slice(j * width // size, -(-(j + 1) * width // size))
            np.testing.assert_allclose(found[0, i, j], x[0, rows, columns].mean((0, 1)), atol=1e-5)


@pytest.mark.torch
@pytest.mark.parametrize("shape", [(5, 7), (3, 12)])
def test_adaptive_average_equals_pytorch(shape):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch = pytest.importorskip("torch")
    x = maps(2, *shape, 3)
    expected = torch.nn.functional.adaptive_avg_pool2d(torch.tensor(np.asarray(x)).permute(0, 3, 1, 2), 4)
    np.testing.assert_allclose(adaptive_average(x, 4), expected.permute(0, 2, 3, 1), atol=1e-5)
