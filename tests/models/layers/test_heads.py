import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from serjax.models.layers.activations import gelu
from serjax.models.layers.heads import LinearHead, NormHead


@pytest.mark.parametrize(("activation", "function"), [("gelu", gelu), ("relu", jax.nn.relu)])
def test_norm_head_is_norm_linear_activation_linear(activation, function):
    head = NormHead(6, 4, 3, activation, 0.5, rngs=nnx.Rngs(0))
    x = np.random.default_rng(0).normal(size=(2, 6)).astype(np.float32)
    normed = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    hidden = function(normed @ head.dense.kernel[...] + head.dense.bias[...])
    expected = hidden @ head.out_proj.kernel[...] + head.out_proj.bias[...]
    np.testing.assert_allclose(head(jnp.asarray(x)), expected, atol=1e-5)


def test_head_without_norm_and_activation_is_two_linear_layers():
    head = NormHead(6, 4, 3, "identity", 0.5, norm=False, rngs=nnx.Rngs(0))
    x = np.random.default_rng(0).normal(size=(2, 6)).astype(np.float32)
    hidden = x @ head.dense.kernel[...] + head.dense.bias[...]
    np.testing.assert_allclose(
        head(jnp.asarray(x)), hidden @ head.out_proj.kernel[...] + head.out_proj.bias[...], atol=1e-5
    )


@pytest.mark.parametrize(
    "head", [NormHead(6, 40, 3, "relu", 0.5, rngs=nnx.Rngs(0)), LinearHead(6, 3, 0.5, rngs=nnx.Rngs(0))]
)
def test_dropout_comes_with_a_key_alone(head):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 6)), jnp.float32)
    assert (head(x) == head(x)).all()
    assert (head(x, jax.random.key(0)) == head(x, jax.random.key(0))).all()
    assert (head(x, jax.random.key(0)) != head(x)).any()
