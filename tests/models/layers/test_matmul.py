"""Products of two matrices, rounded where it matters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from serjax.models.layers.matmul import Linear, product


def normal(shape, dtype, seed):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


@pytest.mark.parametrize(
    ("spec", "left", "right"),
    [
        ("nk,km->nm", (5, 7), (7, 3)),
        ("bhqe,bhke->bhqk", (2, 3, 5, 4), (2, 3, 6, 4)),
        ("bnk,bno->ko", (2, 5, 3), (2, 5, 4)),
    ],
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(jnp.float32, 1e-5), (jnp.bfloat16, 3e-2)])
def test_product_and_its_gradients(spec, left, right, dtype, tolerance):
    operands = normal(left, dtype, 0), normal(right, dtype, 1)
    exact = [x.astype(jnp.float32) for x in operands]
    y, back = jax.vjp(lambda *both: product(spec, *both), *operands)
    expected, exact_back = jax.vjp(lambda *both: jnp.einsum(spec, *both), *exact)
    assert y.dtype == jnp.float32
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5)  # of bfloat16 too: sums are not rounded
    cotangent = normal(y.shape, jnp.float32, 2)
    for got, want, operand in zip(back(cotangent), exact_back(cotangent), operands, strict=True):
        assert got.dtype == operand.dtype
        np.testing.assert_allclose(got.astype(jnp.float32), want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("shape", [(6,), (4, 6), (2, 4, 6)])
def test_linear_is_flaxs(shape):
    ours, theirs = Linear(6, 5, rngs=nnx.Rngs(0)), nnx.Linear(6, 5, rngs=nnx.Rngs(0))
    bias = normal(5, jnp.float32, 1)
    ours.bias.set_value(bias)
    theirs.bias.set_value(bias)
    x = normal(shape, jnp.float32, 0)
    np.testing.assert_allclose(ours(x), theirs(x), rtol=0, atol=1e-6)
