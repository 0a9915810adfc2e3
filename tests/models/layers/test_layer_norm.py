from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx

import serjax
from serjax.models.layers.layer_norm import LayerNorm


@pytest.mark.parametrize("offset", [0, 10, 300])
def test_an_offset_costs_no_more_than_its_rounding(offset):
    x = (offset + np.random.default_rng(0).normal(size=(20, 96))).astype(np.float32)
    exact = x.astype(np.float64)
    exact = (exact - exact.mean(1, keepdims=True)) / np.sqrt(exact.var(1, keepdims=True) + 1e-5)
    found = jax.jit(LayerNorm(96, rngs=nnx.Rngs(0)))(x)
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-6 + 3e-7 * offset)


def test_no_model_normalises_by_flax_own():
    folder = Path(serjax.__file__).parent
    found = [path.name for path in folder.rglob("*.py") if "nnx.LayerNorm(" in path.read_text(encoding="utf-8")]
    assert not found, "take serjax.models.layers.layer_norm.LayerNorm"
