"""Domain adaptation: the reversed gradient, the distance of covariances, and an objective around another."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from serjax.audio.config import AugmentConfig
from serjax.models.inputs import Inputs
from serjax.models.layers.heads import NormHead
from serjax.training.classification import Classification, LabelledInputs
from serjax.training.config import OptimizerConfig, TrainConfig
from serjax.training.domain import (
    DOMAIN_HEAD,
    DomainAdaptation,
    OtherCorpus,
    TwoDomains,
    adapted,
    coral,
    covariance,
    domain_weights,
    ramp,
    reverse_gradient,
    with_domain_classifier,
    with_progress,
    without_domain_classifier,
)
from serjax.training.domain_config import DomainConfig
from serjax.training.optimizer import make_optimizer
from serjax.training.update import TrialConstants, init_state, update

FEATURES, WIDTH, CLASSES, STEPS = 5, 6, 3, 600


class Head(nnx.Module):
    """Head on the mean of stored hidden states."""

    def __init__(self, rngs):
        self.classifier = NormHead(FEATURES, WIDTH, CLASSES, "relu", 0.0, rngs=rngs)

    def hidden(self, states, frames):
        return self.classifier.hidden(states[:, -1].mean(1))

    def __call__(self, states, frames, key=None):
        return self.classifier(states[:, -1].mean(1), key)


class Model(nnx.Module):
    def __init__(self, config=None, seed=0):
        rngs = nnx.Rngs(seed)
        self.head = Head(rngs)
        if config is not None:
            with_domain_classifier(self.head, config, rngs=rngs)

    def __call__(self, inputs, key=None, weight=None):
        return self.head(inputs.hidden_states, inputs.hidden_lengths, key)


def clips(rows, seed, shift=0.0):
    states = np.random.default_rng(seed).normal(0, 1, (rows, 1, 2, FEATURES)).astype(np.float32)
    states[..., 0] += shift
    return Inputs(hidden_states=states, hidden_lengths=np.full(rows, 2))


def batch(rows=8, seed=0, weight=None, progress=0.5):
    """Return clips whose class is in all features but the first, and others that differ in the first."""
    weight, inputs = np.ones(rows, np.float32) if weight is None else weight, clips(rows, seed)
    label = inputs.hidden_states[:, 0, :, 1:].mean(1)[:, :CLASSES].argmax(1).astype(np.int32)
    return TwoDomains(LabelledInputs(inputs, label, weight), clips(rows, seed + 10_000, 2.0), progress)


CONSTANTS = TrialConstants(jax.random.key(0), jnp.array(10), jnp.array(1e-2), jnp.ones(CLASSES))


def objective(config, **train):
    return DomainAdaptation(Classification(TrainConfig(batch_size=8, **train), AugmentConfig(), "float32"), config)


@cache
def compiled(config, accumulate):
    """Return the function from parameters and a batch to the mean gradient of an update, and the metrics."""
    graphdef, one = nnx.split(Model(config))[0], objective(config, accumulate=accumulate)

    def whole(params, batch):
        parts, keys, totals = one.prepare(batch, CONSTANTS, jax.random.key(1))
        total, found, sums = 0.0, jax.tree.map(jnp.zeros_like, params), one.zero
        for number in range(accumulate):
            part = jax.tree.map(lambda x, number=number: x[number], parts)

            def loss(params, part=part, key=keys[number]):
                return one.loss(nnx.merge(graphdef, params, copy=True), part, totals, key)

            (value, more), own = jax.value_and_grad(loss, has_aux=True)(params)
            total, found, sums = jax.tree.map(jnp.add, (total, found, sums), (value, own, more))
        return one.finish(found, total, sums, totals)

    return jax.jit(whole)


def gradient(config, batch, accumulate=1):
    """Return the mean gradient of an update by name, and the metrics."""
    found, metrics = compiled(config, accumulate)(nnx.split(Model(config))[1], batch)
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(found)}, metrics


@settings(max_examples=20)
@given(st.floats(0, 5), st.integers(0, 99))
def test_reversed_gradient_is_minus_the_factor_times_the_gradient(factor, seed):
    x = jnp.array(np.random.default_rng(seed).normal(size=(4, 3)).astype(np.float32))

    def after(x):
        return jnp.sum(jnp.sin(x) ** 2)

    np.testing.assert_array_equal(reverse_gradient(x, jnp.array(factor)), x)
    plain = jax.grad(after)(x)
    found = jax.grad(lambda x: after(reverse_gradient(x, jnp.array(factor))))(x)
    np.testing.assert_allclose(found, -factor * plain, rtol=1e-6)


def test_reversed_gradient_maps_over_folds():
    x, factors = jnp.arange(6.0).reshape(2, 3), jnp.array([0.5, 2.0])
    found = jax.vmap(jax.grad(lambda x, f: jnp.sum(reverse_gradient(x, f) ** 2)))(x, factors)
    np.testing.assert_allclose(found, -factors[:, None] * 2 * x)


def test_factor_rises_as_in_the_paper():
    progress = np.linspace(0, 1, 11)
    np.testing.assert_allclose(jax.vmap(ramp)(jnp.array(progress)), np.tanh(5 * progress), rtol=1e-5, atol=1e-6)
    assert float(ramp(jnp.array(0.0))) == 0


@pytest.mark.parametrize(("rows", "others", "features"), [(8, 5, 3), (2, 9, 4), (6, 6, 1)])
def test_coral_is_numpys(rows, others, features):
    rng = np.random.default_rng(rows)
    source, target = (rng.normal(1, 2, (n, features)).astype(np.float32) for n in (rows, others))
    difference = np.cov(source.T).reshape(features, -1) - np.cov(target.T).reshape(features, -1)
    expected = np.sum(difference**2) / (4 * features**2)
    assert float(coral(jnp.array(source), jnp.array(target))) == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert float(coral(jnp.array(source), jnp.array(source))) == pytest.approx(0, abs=1e-9)


def test_rows_of_weight_zero_are_in_no_covariance():
    x = jnp.array(np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32))
    weight = jnp.array([1.0, 1.0, 0.0, 1.0, 0.0, 1.0])
    np.testing.assert_allclose(covariance(x, weight), np.cov(np.asarray(x)[weight > 0].T), rtol=1e-5)
    assert not np.any(covariance(x, jnp.eye(6)[0]))
    assert not np.any(covariance(x, jnp.zeros(6)))


@pytest.mark.parametrize("kind", ["dann", "coral"])
def test_rows_that_fill_up_a_batch_change_nothing(kind):
    config, weight = DomainConfig(kind, "other", 0.7), (np.arange(8) < 5).astype(np.float32)
    one = batch(weight=weight)
    other = one._replace(source=one.source._replace(inputs=clips(8, 77)))
    states = np.concatenate([one.source.inputs.hidden_states[:5], other.source.inputs.hidden_states[5:]])
    other = other._replace(source=other.source._replace(inputs=one.source.inputs._replace(hidden_states=states)))
    for name, leaf in gradient(config, one)[0].items():
        np.testing.assert_allclose(leaf, gradient(config, other)[0][name], rtol=1e-5, atol=1e-7)


def test_dann_reverses_the_gradient_of_the_layers_below_and_not_of_the_classifier_of_the_corpus():
    plain, metrics = gradient(DomainConfig("dann", "other"), batch(progress=0.0))
    half, same = gradient(DomainConfig("dann", "other", 0.5), batch(progress=1.0))
    whole, _ = gradient(DomainConfig("dann", "other", 1.0), batch(progress=1.0))
    assert float(metrics["loss"]) == float(same["loss"])
    for name, leaf in plain.items():
        if DOMAIN_HEAD in name or "out_proj" in name:
            np.testing.assert_allclose(half[name], leaf, rtol=1e-5, atol=1e-7)
        else:
            # At factor 0 the gradient is that of the classes alone; the rest grows with the factor.
            np.testing.assert_allclose(whole[name] - leaf, 2 * (half[name] - leaf), rtol=1e-3, atol=1e-6)
            assert float(jnp.abs(whole[name] - leaf).max()) > 1e-5


def test_gradient_of_dann_is_that_of_both_losses_written_out():
    config, one = DomainConfig("dann", "other", 0.5), batch(progress=1.0)
    model = Model(config)
    graphdef, params = nnx.split(model)
    factor = 0.5 * float(ramp(jnp.array(1.0)))

    def losses(params):
        model = nnx.merge(graphdef, params, copy=True)
        logits = model(one.source.inputs)
        classes = -jax.nn.log_softmax(logits)[jnp.arange(8), one.source.label].mean()
        probability = [
            jax.nn.sigmoid(model.head.domain_classifier(model.head.hidden(x.hidden_states, x.hidden_lengths)))
            for x in (one.source.inputs, one.target)
        ]
        return classes, -0.5 * (jnp.log(1 - probability[0]).mean() + jnp.log(probability[1]).mean())

    classes, domain = (jax.jit(jax.grad(lambda p, i=i: losses(p)[i]))(params) for i in range(2))
    found, metrics = gradient(config, one)
    for (path, c), d in zip(jax.tree_util.tree_leaves_with_path(classes), jax.tree.leaves(domain), strict=True):
        name = jax.tree_util.keystr(path)
        expected = c + d if DOMAIN_HEAD in name else c - factor * d
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-6)
    assert float(metrics["loss"] / metrics["weight"]) == pytest.approx(float(losses(params)[0]), rel=1e-5)


def test_gradient_of_coral_is_that_of_the_sum():
    config, one = DomainConfig("coral", "other", 3.0), batch()
    model = Model(config)
    graphdef, params = nnx.split(model)
    assert domain_weights(params) == 0

    def loss(params):
        model = nnx.merge(graphdef, params, copy=True)
        classes = -jax.nn.log_softmax(model(one.source.inputs))[jnp.arange(8), one.source.label].mean()
        x, y = (model.head.hidden(i.hidden_states, i.hidden_lengths) for i in (one.source.inputs, one.target))
        return classes + 3 * coral(x, y)

    found, _ = gradient(config, one)
    for path, leaf in jax.tree_util.tree_leaves_with_path(jax.jit(jax.grad(loss))(params)):
        np.testing.assert_allclose(found[jax.tree_util.keystr(path)], leaf, rtol=1e-4, atol=1e-6)


def test_parts_of_a_batch_add_up_to_the_whole():
    config = DomainConfig("dann", "other")
    whole, parts = gradient(config, batch())[0], gradient(config, batch(), accumulate=2)[0]
    for name, leaf in whole.items():
        np.testing.assert_allclose(parts[name], leaf, rtol=1e-4, atol=1e-6)


def trained(config):
    """Return a model after some updates."""
    graphdef, params = nnx.split(Model(config))
    optimizer = make_optimizer(OptimizerConfig(schedule="constant"), params)
    constants = CONSTANTS._replace(steps=jnp.array(STEPS), peak=jnp.array(1e-3))
    settings = {"objective": objective(config), "graphdef": graphdef, "optimizer": optimizer}
    step = with_progress(partial(update, **settings))
    batches = jax.tree.map(lambda *leaves: np.stack(leaves), *(batch(32, seed=number) for number in range(STEPS)))

    @jax.jit
    def many(state, batches):
        return jax.lax.scan(lambda state, now: step(state, now, constants, nnx.State({})), state, batches)

    return nnx.merge(graphdef, many(init_state(params, optimizer), batches)[0].params)


@pytest.mark.parametrize(("kind", "strong"), [("dann", 1.0), ("coral", 50.0)])
def test_updates_bring_the_corpora_together(kind, strong):
    """Without adaptation a corpus that is shifted stays apart from the other."""
    found, one = [], batch(400, seed=9_000)
    for weight in (1e-6, strong):
        model = trained(DomainConfig(kind, "other", weight))
        x, y = (model.head.hidden(i.hidden_states, i.hidden_lengths) for i in (one.source.inputs, one.target))
        found.append(float(coral(x, y)) if kind == "coral" else separable(np.asarray(x), np.asarray(y)))
    assert found[1] < (0.5 * found[0] if kind == "coral" else found[0] - 0.05)


def separable(x, y):
    """Return with what accuracy a line tells two clouds apart."""
    both, which = np.concatenate([x, y]), np.repeat([0, 1], [len(x), len(y)])
    return LogisticRegression(max_iter=1000).fit(both, which).score(both, which)


def test_step_is_told_how_far_training_is():
    told = []

    def step(state, batch, constants, frozen):
        told.append(float(batch.progress))

    state = type("State", (), {"updates": jnp.array(3)})()
    with_progress(step)(state, batch(), CONSTANTS, None)
    assert told == [pytest.approx(0.3)]


def test_classifier_of_the_corpus_is_part_of_training_alone():
    plain, trained = Model(), Model(DomainConfig("dann", "other"))
    names = {path for path, _ in nnx.to_flat_state(nnx.state(plain))}
    assert names < {path for path, _ in nnx.to_flat_state(nnx.state(trained))}
    assert domain_weights(nnx.state(trained)) == WIDTH * 100 + 100 + 100 + 1
    without = without_domain_classifier(trained)
    one = clips(4, 0)
    np.testing.assert_array_equal(without(one), plain(one))  # the head's weights are drawn first
    assert {path for path, _ in nnx.to_flat_state(nnx.state(without))} == names
    assert without_domain_classifier(plain) is plain
    assert without_domain_classifier(NormHead(2, 2, 2, "relu", 0.0, rngs=nnx.Rngs(0)))
    assert not hasattr(Model(DomainConfig("coral", "other")).head, DOMAIN_HEAD)


@settings(max_examples=20)
@given(st.integers(1, 7), st.integers(1, 30), st.integers(0, 99))
def test_clips_of_the_other_corpus_come_as_often_as_each_other(clips, rows, seed):
    other = OtherCorpus(DomainConfig("coral", "other"), tuple(range(10, 10 + clips)))
    found = other.order([seed, 0, 1, 1, 1], rows)
    assert len(found) == rows
    counts = np.bincount(found - 10, minlength=clips)
    assert counts.max() - counts.min() <= 1
    np.testing.assert_array_equal(found, other.order([seed, 0, 1, 1, 1], rows))


def test_objective_is_that_of_a_trials_settings():
    found = adapted(lambda train: Classification(train, AugmentConfig(), "bfloat16"), DomainConfig(), TrainConfig())
    assert (found.dtype, found.config, found.inner.train) == ("bfloat16", DomainConfig(), TrainConfig())
