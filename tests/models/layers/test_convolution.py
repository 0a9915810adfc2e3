from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from serjax.models.layers import convolution
from serjax.models.layers.convolution import grouped, planar, strided
from serjax.runtime.platform import compiling_for


def plain_strided(x, kernel, stride):
    return lax.conv_general_dilated(x, kernel, (stride,), "VALID", dimension_numbers=("NWC", "WIO", "NWC"))


def plain_grouped(x, kernel, groups):
    taps = kernel.shape[0]
    pad = [(taps // 2, (taps - 1) // 2)]
    return lax.conv_general_dilated(
        x, kernel, (1,), pad, dimension_numbers=("NWC", "WIO", "NWC"), feature_group_count=groups
    )


def assert_same_values_and_gradients(ours, plain, x, kernel):
    y, ours_back = jax.vjp(ours, x, kernel)
    expected, plain_back = jax.vjp(plain, x, kernel)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5)
    cotangent = jnp.asarray(np.random.default_rng(1).normal(size=y.shape), y.dtype)
    for got, want in zip(ours_back(cotangent), plain_back(cotangent), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
        assert got.dtype == want.dtype


def normal(shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@settings(max_examples=3)
@given(taps=st.integers(1, 6), stride=st.integers(1, 5), extra=st.integers(0, 9), inputs=st.integers(1, 3))
def test_strided_has_the_gradients_of_a_convolution(taps, stride, extra, inputs):
    x, kernel = normal((2, taps + extra, inputs)), normal((taps, inputs, 4))
    assert_same_values_and_gradients(partial(strided, stride=stride), partial(plain_strided, stride=stride), x, kernel)


@pytest.mark.parametrize(("taps", "length", "groups"), [(9, 5, 2), (4, 12, 1), (1, 3, 8), (6, 6, 4)])
def test_grouped_has_the_gradients_of_a_convolution(taps, length, groups):
    x, kernel = normal((2, length, 8)), normal((taps, 8 // groups, 8))
    assert_same_values_and_gradients(partial(grouped, groups=groups), partial(plain_grouped, groups=groups), x, kernel)


def test_long_clips_lose_no_precision():
    # 30 s at base size's 128 taps: angles of the transform reach thousands of turns.
    x, kernel, cotangent = normal((1, 1499, 4)), normal((128, 4, 4)), normal((1, 1499, 4), seed=1)
    got = jax.vjp(partial(grouped, groups=1), x, kernel)[1](cotangent)
    want = jax.vjp(partial(plain_grouped, groups=1), x, kernel)[1](cotangent)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5 * np.abs(b).max())


@pytest.mark.parametrize(
    ("function", "shapes"), [(partial(strided, stride=2), (3, 5)), (partial(grouped, groups=2), (4, 3))]
)
def test_gradients_under_vmap_are_those_of_each_fold(function, shapes):
    taps, inputs = shapes
    x, kernel = normal((3, 2, 9, 2 * inputs)), normal((3, taps, inputs, 6))
    if function.func is strided:
        x = x[..., :inputs]

    def gradients(x, kernel):
        return jax.grad(lambda x, kernel: jnp.sum(jnp.sin(function(x, kernel))), (0, 1))(x, kernel)

    together = jax.vmap(gradients)(x, kernel)
    for fold in range(3):
        for got, want in zip(together, gradients(x[fold], kernel[fold]), strict=True):
            np.testing.assert_allclose(got[fold], want, rtol=1e-5, atol=1e-5)


def maps(x, kernel, stride):
    pad = [(kernel.shape[0] // 2,) * 2] * 2
    return lax.conv_general_dilated(x, kernel, (stride, stride), pad, dimension_numbers=("NHWC", "HWIO", "NHWC"))


@pytest.mark.slow
@settings(max_examples=6)
@given(taps=st.sampled_from([1, 3, 5]), stride=st.integers(1, 3), high=st.integers(2, 9), wide=st.integers(2, 9))
def test_planar_has_the_gradients_of_a_convolution(taps, stride, high, wide):
    x, kernel = normal((2, high, wide, 3)), normal((taps, taps, 3, 4))
    assert_same_values_and_gradients(partial(planar, stride=stride), partial(maps, stride=stride), x, kernel)


@pytest.mark.parametrize("cache", [1, 20_000, 30_000])
def test_a_gradient_is_the_same_from_some_maps_at_a_time(monkeypatch, cache):
    monkeypatch.setattr(convolution, "CACHE", cache)
    x, kernel = normal((6, 9, 8, 3)), normal((3, 3, 3, 4))  # 7776 bytes of patches a map
    assert_same_values_and_gradients(partial(planar, stride=1), partial(maps, stride=1), x, kernel)


def test_bfloat16_is_summed_in_float32():
    x, kernel = normal((2, 40, 3)), normal((3, 3, 4))
    low, low_kernel = x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
    y, back = jax.vjp(partial(strided, stride=2), low, low_kernel)
    exact, exact_back = jax.vjp(partial(strided, stride=2), *(a.astype(jnp.float32) for a in (low, low_kernel)))
    assert y.dtype == jnp.float32
    np.testing.assert_allclose(y, exact, rtol=0, atol=1e-5)
    cotangent = normal(y.shape, seed=1)
    for got, want in zip(back(cotangent), exact_back(cotangent), strict=True):
        assert got.dtype == jnp.bfloat16
        np.testing.assert_allclose(got.astype(jnp.float32), want, rtol=2e-2, atol=5e-2)


@pytest.mark.parametrize("axes", [(0, None), (0, 0), (None, 0)], ids=["shared kernel", "own kernels", "shared input"])
def test_folds_convolve_for_other_platforms_as_each_alone(axes):
    rng = np.random.default_rng(0)
    shapes = ((3, 4, 20, 6), (3, 5, 3, 8))
    folds = [jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes]
    arrays = [array if axis == 0 else array[0] for array, axis in zip(folds, axes, strict=True)]

    def one(x, kernel):
        return convolution.library(x, kernel, (2,), "VALID", 2)

    def at(k):
        return [array if axis is None else array[k] for array, axis in zip(arrays, axes, strict=True)]

    outer = [array if axis is None else array[None] for array, axis in zip(arrays, axes, strict=True)]
    expected = jnp.stack([one(*at(k)) for k in range(3)])
    with compiling_for("tpu"):
        found = jax.vmap(one, in_axes=axes)(*arrays)
        nested = jax.vmap(jax.vmap(one, in_axes=axes), in_axes=axes)(*outer)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(nested, expected, rtol=1e-4, atol=1e-5)


def test_folds_that_share_a_kernel_are_an_axis_of_space_elsewhere_than_on_a_cpu():
    x, kernel = jnp.ones((3, 4, 20, 6)), jnp.ones((5, 6, 8))

    def shapes(platform):
        with compiling_for(platform):
            traced = jax.make_jaxpr(jax.vmap(lambda x: convolution.library(x, kernel, (2,), "VALID")))(x)
        found = [equation for equation in traced.eqns if "conv" in equation.primitive.name]
        return [equation.invars[0].aval.shape for equation in found], str(traced)

    assert shapes("cpu")[0] == [(12, 20, 6)]
    assert "f32[4,3,8,8] = conv_general_dilated" in shapes("tpu")[1]
