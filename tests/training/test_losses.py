"""Losses against plain formulas, and their limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serjax.evaluation.task_scores import task_scores
from serjax.evaluation.tasks import Task
from serjax.training import losses


def drawn(seed, clips=7, classes=4):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(clips, classes)).astype(np.float32)
    return logits, rng.dirichlet(np.ones(classes), clips).astype(np.float32)


@given(st.integers(0, 2**32 - 1))
def test_shares(seed):
    logits, target = drawn(seed)
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    close = {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(losses.shares_cross_entropy(logits, target), -(target * np.log(p)).sum(1), **close)
    kl = (target * np.log(np.maximum(target, 1e-30) / p)).sum(1)
    np.testing.assert_allclose(losses.kl_divergence(logits, target), kl, **close)
    moved = ((np.cumsum(p, 1) - np.cumsum(target, 1)) ** 2).sum(1)
    np.testing.assert_allclose(losses.earth_mover(logits, target), moved, **close)
    np.testing.assert_allclose(losses.focal(logits, target, 2.0), -(target * (1 - p) ** 2 * np.log(p)).sum(1), **close)
    np.testing.assert_allclose(losses.focal(logits, target, 0.0), losses.shares_cross_entropy(logits, target), **close)


@given(st.integers(0, 2**32 - 1))
def test_labels(seed):
    logits, target = drawn(seed)
    p = 1 / (1 + np.exp(-logits))
    plain = -(target * np.log(p) + (1 - target) * np.log(1 - p)).sum(1)
    np.testing.assert_allclose(losses.binary_focal(logits, target, 0.0), plain, rtol=1e-4)
    focal = -(target * (1 - p) ** 2 * np.log(p) + (1 - target) * p**2 * np.log(1 - p)).sum(1)
    np.testing.assert_allclose(losses.binary_focal(logits, target, 2.0), focal, rtol=1e-4)


@given(st.integers(2, 30), st.integers(0, 2**32 - 1))
def test_concordance_is_that_of_the_scores(clips, seed):
    rng = np.random.default_rng(seed)
    truth, answer = rng.uniform(size=(2, clips, 1))
    weight = np.ones((clips, 1))
    weight[clips // 2 + 1 :] = 0
    own = weight[:, 0] > 0
    expected = task_scores(Task("x", "dimensions", ("x",), ((0, 1),)), truth[own], answer[own])["ccc"]
    assert losses.concordance(answer, truth, weight)[0] == pytest.approx(expected, abs=1e-4)


def test_concordance_of_nothing_is_zero_with_finite_gradients():
    def value(prediction):
        return losses.concordance(prediction, jnp.ones((3, 2)), jnp.zeros((3, 2))).sum()

    found, gradient = jax.value_and_grad(value)(jnp.ones((3, 2)))
    assert found == 0
    assert np.isfinite(gradient).all()


def test_huber_is_smooth_at_its_joint():
    error = jnp.array([0.0, 0.0999999, 0.1000001, -0.3])
    np.testing.assert_allclose(losses.huber(error, 0.1), [0, 0.05, 0.05, 0.25], atol=1e-5)
    slopes = jax.vmap(jax.grad(lambda e: losses.huber(e, 0.1)))(error)
    np.testing.assert_allclose(slopes, [0, 1, 1, -1], atol=1e-5)


def test_soft_macro_f1_of_certain_answers_is_macro_f1():
    target = np.eye(3, dtype=np.float32)[[0, 0, 1, 2, 2]]
    said = np.array([0, 1, 1, 2, 0])
    logits = 50 * np.eye(3, dtype=np.float32)[said]
    macro = np.mean([2 / 4, 2 / 3, 2 / 3])
    assert losses.soft_macro_f1(logits, target, np.ones(5)) == pytest.approx(1 - macro, abs=1e-5)
    # A row that only fills up, and a class that does not occur, change nothing.
    more = np.concatenate([logits, logits[:1]]), np.concatenate([target, target[:1]]), np.array([1.0, 1, 1, 1, 1, 0])
    assert losses.soft_macro_f1(*more) == pytest.approx(1 - macro, abs=1e-5)
