"""The loss of one step: class weights and smoothing as PyTorch defines them, and rows that count for nothing."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.training.jobs import class_weights
from serjax.training.step import cross_entropy


@pytest.mark.torch
@pytest.mark.parametrize("weights", [[1.0, 1.0, 1.0], [0.5, 2.0, 1.0]])
def test_cross_entropy_is_pytorchs(weights):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    logits, label = rng.normal(size=(8, 3)).astype(np.float32), rng.integers(0, 3, 8)
    loss, weight = cross_entropy(jnp.array(logits), jnp.array(label), jnp.ones(8), jnp.array(weights), 0.0)
    function = torch.nn.CrossEntropyLoss(weight=torch.tensor(weights))
    assert float(loss / weight) == pytest.approx(float(function(torch.tensor(logits), torch.tensor(label))), abs=1e-6)
    smooth, weight = cross_entropy(jnp.array(logits), jnp.array(label), jnp.ones(8), jnp.ones(3), 0.1)
    function = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    assert float(smooth / weight) == pytest.approx(float(function(torch.tensor(logits), torch.tensor(label))), abs=1e-6)


@settings(max_examples=20)
@given(st.integers(1, 6), st.integers(0, 5), st.floats(0, 0.5))
def test_rows_of_weight_zero_count_for_nothing(rows, filler, smoothing):
    rng = np.random.default_rng(rows)
    logits = jnp.array(rng.normal(size=(rows + filler, 4)))
    label = jnp.array(rng.integers(0, 4, rows + filler))
    weight = (jnp.arange(rows + filler) < rows).astype(jnp.float32)
    whole = cross_entropy(logits, label, weight, jnp.ones(4), smoothing)
    part = cross_entropy(logits[:rows], label[:rows], weight[:rows], jnp.ones(4), smoothing)
    np.testing.assert_allclose(whole, part, rtol=1e-5)


@given(st.lists(st.integers(1, 30), min_size=2, max_size=6))
def test_class_weights_give_every_class_the_same_say(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    weights = class_weights(labels, len(counts))
    np.testing.assert_allclose(weights * counts, len(labels) / len(counts), rtol=1e-5)
    assert weights[labels].mean() == pytest.approx(1, rel=1e-5)
