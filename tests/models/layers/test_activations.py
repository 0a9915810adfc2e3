import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from serjax.models.layers.activations import ACTIVATIONS, dropout, gelu, split


def test_gelu_is_x_times_the_normal_distribution():
    x = np.linspace(-6, 6, 101)
    expected = [v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x]
    np.testing.assert_allclose(gelu(jnp.asarray(x, jnp.float32)), expected, atol=1e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_keep_bfloat16(name):
    assert ACTIVATIONS[name](jnp.ones(3, jnp.bfloat16)).dtype == jnp.bfloat16


@pytest.mark.parametrize("shape", [(1000, 8), (1000, 7), (7001,)])
@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_drops_its_rate_and_keeps_the_mean(shape, rate):
    x = jnp.ones(shape)
    y = np.asarray(dropout(x, rate, jax.random.key(0)))
    assert set(np.unique(y).round(4)) == {0.0, np.float32(1 / (1 - rate)).round(4)}
    deviation = math.sqrt(rate * (1 - rate) / y.size)
    assert abs((y == 0).mean() - rate) < 4 * deviation
    # Two neighbours share a random number; they must not share their fate.
    pairs = (y == 0).reshape(-1)[: y.size // 2 * 2].reshape(-1, 2)
    assert abs(pairs.all(1).mean() - rate**2) < 0.02


def test_no_key_or_no_rate_means_no_dropout():
    x = jnp.arange(5.0)
    assert dropout(x, 0.5, None) is x
    assert dropout(x, 0.0, jax.random.key(0)) is x
    assert split(None, 3) == [None, None, None]
