"""One step: its loss as PyTorch defines it, rows that count for nothing, batch statistics, mixed clips."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from serjax.audio.config import AugmentConfig
from serjax.models.inputs import Inputs
from serjax.models.layers.batch_norm import BatchNorm
from serjax.training.classification import Classification, LabelledInputs
from serjax.training.config import OptimizerConfig, TrainConfig
from serjax.training.optimizer import make_optimizer
from serjax.training.update import TrialConstants, init_state, update


class Normed(nnx.Module):
    """Batch norm and a Linear layer on [b t] as features."""

    def __init__(self, rngs):
        self.norm = BatchNorm(5, rngs=rngs)
        self.last = nnx.Linear(5, 3, rngs=rngs)

    def __call__(self, inputs, key=None, weight=None):
        return self.last(self.norm(inputs.wave, None if key is None else weight > 0))


def one_step(wave, weight, frozen=(), train=None, augment=None):
    graphdef, rest, params = nnx.split(Normed(nnx.Rngs(0)), lambda path, _: path[0] in frozen, ...)
    inputs = LabelledInputs(Inputs(wave, jnp.full(len(wave), 5)), jnp.arange(len(wave)) % 3, weight)
    constants = TrialConstants(jax.random.key(0), jnp.array(10), jnp.array(1e-2), jnp.ones(3))
    optimizer = make_optimizer(OptimizerConfig(schedule="constant"), params)
    objective = Classification(train or TrainConfig(), augment or AugmentConfig(), "float32")
    settings = {"objective": objective, "graphdef": graphdef, "optimizer": optimizer}
    return update(init_state(params, optimizer), inputs, constants, rest, **settings)


def waves(rows):
    return jnp.asarray(np.random.default_rng(0).normal(2, 3, (rows, 5)), jnp.float32)


def test_batch_statistics_count_real_rows_and_are_left_alone_by_the_optimizer():
    wave = waves(8)
    state, _ = one_step(wave, (jnp.arange(8) < 6).astype(jnp.float32))
    np.testing.assert_allclose(state.params.norm.mean[...], 0.1 * wave[:6].mean(0), rtol=1e-5)
    np.testing.assert_allclose(state.params.norm.var[...], 0.9 + 0.1 * wave[:6].var(0, ddof=1), rtol=1e-5)
    other, _ = one_step(wave.at[6:].set(99.0), (jnp.arange(8) < 6).astype(jnp.float32))
    for one, two in zip(jax.tree.leaves(state.params), jax.tree.leaves(other.params), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


def test_accumulated_parts_move_batch_statistics_one_after_the_other():
    wave = waves(8)
    state, _ = one_step(wave, jnp.ones(8), train=TrainConfig(batch_size=8, accumulate=2))
    expected = 0.9 * 0.1 * wave[:4].mean(0) + 0.1 * wave[4:].mean(0)
    np.testing.assert_allclose(state.params.norm.mean[...], expected, rtol=1e-5)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_statistics_of_a_frozen_part_are_none_of_the_steps(accumulate):
    state, metrics = one_step(
        waves(8), jnp.ones(8), frozen=("norm",), train=TrainConfig(batch_size=8, accumulate=accumulate)
    )
    assert set(state.params) == {"last"}
    assert np.isfinite(float(metrics["loss"]))


def test_mixup_mixes_clips_and_labels_alike():
    plain, plain_metrics = one_step(waves(8), jnp.ones(8))
    mixed, metrics = one_step(waves(8), jnp.ones(8), augment=AugmentConfig(mixup=0.4))
    assert float(metrics["weight"]) == pytest.approx(float(plain_metrics["weight"]))
    assert not np.allclose(mixed.params.last.kernel[...], plain.params.last.kernel[...], atol=1e-6)
    same, same_metrics = one_step(jnp.tile(waves(1), (8, 1)), jnp.ones(8), augment=AugmentConfig(mixup=0.4))
    assert np.isfinite(float(same_metrics["loss"]))
    np.testing.assert_allclose(same.params.norm.mean[...], 0.1 * waves(1)[0], rtol=1e-5)


def test_a_plain_optimizer_of_optax_fits():
    graphdef, rest, params = nnx.split(Normed(nnx.Rngs(0)), lambda *_: False, ...)
    inputs = LabelledInputs(Inputs(waves(4), jnp.full(4, 5)), jnp.arange(4) % 3, jnp.ones(4))
    constants = TrialConstants(jax.random.key(0), jnp.array(10), jnp.array(1e-2), jnp.ones(3))
    settings = {"objective": Classification(TrainConfig(), AugmentConfig(), "float32"), "graphdef": graphdef}

    def moved(optimizer):
        return update(init_state(params, optimizer), inputs, constants, rest, **settings, optimizer=optimizer)

    ours, told = moved(make_optimizer(OptimizerConfig(kind="sgd", schedule="constant", clip_norm=None), params))
    theirs, metrics = moved(optax.sgd(1e-2, momentum=0.9))
    np.testing.assert_allclose(theirs.params.last.bias[...], ours.params.last.bias[...], rtol=1e-6)
    assert metrics.keys() == told.keys() - {"rate"}
    _, injected = moved(optax.inject_hyperparams(optax.sgd)(learning_rate=1e-3))
    assert float(injected["rate"]) == pytest.approx(1e-3)
