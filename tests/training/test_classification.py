"""Classification: cross entropy as PyTorch's, rows that fill up a batch, and mixup of parts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.audio.config import AugmentConfig
from serjax.models.inputs import Inputs
from serjax.training.classification import Classification, LabelledInputs, cross_entropy
from serjax.training.config import TrainConfig
from serjax.training.update import TrialConstants


@pytest.mark.torch
@pytest.mark.parametrize("weights", [[1.0, 1.0, 1.0], [0.5, 2.0, 1.0]])
def test_cross_entropy_is_pytorchs(weights):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    logits, label = rng.normal(size=(8, 3)).astype(np.float32), rng.integers(0, 3, 8)
    target = jnp.eye(3)[label]
    loss, weight = cross_entropy(jnp.array(logits), target, jnp.ones(8), jnp.array(weights), 0.0)
    function = torch.nn.CrossEntropyLoss(weight=torch.tensor(weights))
    assert float(loss / weight) == pytest.approx(float(function(torch.tensor(logits), torch.tensor(label))), abs=1e-6)
    smooth, weight = cross_entropy(jnp.array(logits), target, jnp.ones(8), jnp.ones(3), 0.1)
    function = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    assert float(smooth / weight) == pytest.approx(float(function(torch.tensor(logits), torch.tensor(label))), abs=1e-6)


@settings(max_examples=20)
@given(st.integers(1, 6), st.integers(0, 5), st.floats(0, 0.5))
def test_rows_of_weight_zero_count_for_nothing(rows, filler, smoothing):
    rng = np.random.default_rng(rows)
    logits = jnp.array(rng.normal(size=(rows + filler, 4)))
    target = jnp.eye(4)[rng.integers(0, 4, rows + filler)]
    weight = (jnp.arange(rows + filler) < rows).astype(jnp.float32)
    whole = cross_entropy(logits, target, weight, jnp.ones(4), smoothing)
    part = cross_entropy(logits[:rows], target[:rows], weight[:rows], jnp.ones(4), smoothing)
    np.testing.assert_allclose(whole, part, rtol=1e-5)


def batch(rows):
    wave = jnp.arange(4.0 * rows).reshape(rows, 4)
    lengths = jnp.arange(1, rows + 1) % 4 + 1
    return LabelledInputs(Inputs(wave, lengths), jnp.arange(rows) % 3, jnp.ones(rows))


CONSTANTS = TrialConstants(jax.random.key(0), jnp.array(1), jnp.array(1e-3), jnp.array([1.0, 2.0, 3.0]))


@pytest.mark.parametrize("accumulate", [1, 2, 4])
def test_batch_is_divided_into_parts_in_order(accumulate):
    objective = Classification(TrainConfig(batch_size=8, accumulate=accumulate), AugmentConfig(), "float32")
    parts, keys, totals = objective.prepare(batch(8), CONSTANTS, jax.random.key(1))
    assert parts.target.shape == (accumulate, 8 // accumulate, 3)
    np.testing.assert_array_equal(parts.inputs.wave.reshape(8, 4), batch(8).inputs.wave)
    np.testing.assert_array_equal(parts.target.reshape(8, 3).argmax(1), batch(8).label)
    assert len({tuple(row) for row in np.asarray(jax.random.key_data(keys)).tolist()}) == accumulate
    np.testing.assert_array_equal(totals, CONSTANTS.class_weight)


@pytest.mark.parametrize("kind", ["waves", "features"])
def test_mixup_mixes_targets_and_waves_or_leaves_waves_to_the_model(kind):
    objective = Classification(TrainConfig(batch_size=8), AugmentConfig(mixup=0.4, mixup_of=kind), "float32")
    parts, _, _ = objective.prepare(batch(8), CONSTANTS, jax.random.key(1))
    np.testing.assert_allclose(parts.target.sum(-1), 1, rtol=1e-5)
    assert (np.asarray(parts.target) % 1 > 0).any()
    unchanged = np.array_equal(parts.inputs.wave[0], batch(8).inputs.wave)
    assert unchanged == (kind == "features")
    assert (parts.inputs.pairs is None) == (kind == "waves")
    assert (parts.inputs.lengths[0] >= batch(8).inputs.lengths).all()


def test_gradient_is_divided_by_the_weight_of_all_rows():
    objective = Classification(TrainConfig(), AugmentConfig(), "float32")
    gradient, metrics = objective.finish({"w": jnp.array([4.0])}, jnp.array(6.0), jnp.array(2.0), None)
    np.testing.assert_allclose(gradient["w"], [2.0])
    assert {name: float(value) for name, value in metrics.items()} == {"loss": 6.0, "weight": 2.0}
    empty, _ = objective.finish({"w": jnp.zeros(1)}, jnp.array(0.0), jnp.array(0.0), None)
    assert jnp.isfinite(empty["w"]).all()
