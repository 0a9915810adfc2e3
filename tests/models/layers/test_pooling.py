import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import example, given, settings
from hypothesis import strategies as st

from serjax.models.layers.pooling import (
    AttentivePooling,
    AttentiveStatistics,
    TanhAttention,
    masked_mean,
    masked_mean_and_deviation,
)

ATTENTIVE = AttentivePooling(5, 4, rngs=nnx.Rngs(0))
TANH = TanhAttention(5, rngs=nnx.Rngs(0))
STATISTICS = AttentiveStatistics(5, 4, rngs=nnx.Rngs(0))
POOLS = [masked_mean, masked_mean_and_deviation, ATTENTIVE, STATISTICS, TANH]
IDS = ["mean", "stat", "attentive", "attentive_stat", "tanh_attention"]


@pytest.mark.parametrize("pool", [jax.jit(pool) for pool in POOLS], ids=IDS)
@settings(max_examples=15)
@example(length=8, filler=float("inf"))
@given(length=st.integers(1, 8), filler=st.sampled_from([0.0, 1e4, float("inf")]))
def test_padding_changes_nothing(pool, length, filler):
    clip = np.random.default_rng(length).normal(size=(1, length, 5)).astype(np.float32)
    rest = np.full((1, 12 - length, 5), filler, np.float32)
    padded, frames = np.concatenate([clip, rest], axis=1), np.array([length])
    np.testing.assert_allclose(pool(padded, frames), pool(padded[:, :8], frames), atol=1e-5)


def test_statistics_are_mean_and_population_deviation():
    x = np.random.default_rng(0).normal(size=(2, 7, 5)).astype(np.float32)
    got = masked_mean_and_deviation(jnp.asarray(x), jnp.array([7, 4]))
    for row, length in enumerate((7, 4)):
        clip = x[row, :length]
        np.testing.assert_allclose(got[row], np.concatenate([clip.mean(0), clip.std(0)]), atol=1e-6)


def test_attention_is_softmax_of_linear_tanh_linear():
    x = np.random.default_rng(0).normal(size=(1, 6, 5)).astype(np.float32)
    hidden, score = ATTENTIVE.hidden, ATTENTIVE.score
    energy = np.tanh(x[0] @ hidden.kernel[...] + hidden.bias[...]) @ score.kernel[...] + score.bias[...]
    expected = np.exp(energy[:4, 0]) / np.exp(energy[:4, 0]).sum()
    weights = ATTENTIVE.weights(jnp.asarray(x), jnp.array([4]))
    np.testing.assert_allclose(weights[0], [*expected, 0, 0], atol=1e-6)
    assert float(weights.sum()) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(ATTENTIVE(jnp.asarray(x), jnp.array([4]))[0], expected @ x[0, :4], atol=1e-6)


def test_tanh_attention_is_softmax_of_tanh():
    x = np.random.default_rng(0).normal(size=(2, 6, 5)).astype(np.float32)
    weights, pooled = TANH.weights(jnp.asarray(x), jnp.array([6, 4])), TANH(jnp.asarray(x), jnp.array([6, 4]))
    for row, length in enumerate((6, 4)):
        share = np.exp(np.tanh(x[row, :length] @ TANH.score.kernel[...]))[:, 0]
        share /= share.sum()
        np.testing.assert_allclose(weights[row], [*share, *[0] * (6 - length)], atol=1e-6)
        np.testing.assert_allclose(pooled[row], share @ x[row, :length], atol=1e-6)


def test_attentive_statistics_are_weighted_mean_and_deviation():
    x = np.random.default_rng(0).normal(size=(2, 7, 5)).astype(np.float32)
    frames = jnp.array([7, 4])
    got, weights = STATISTICS(jnp.asarray(x), frames), np.asarray(STATISTICS.weights(jnp.asarray(x), frames))
    for row, length in enumerate((7, 4)):
        clip, share = x[row, :length], weights[row, :length, None]
        mean = (share * clip).sum(0)
        deviation = np.sqrt((share * (clip - mean) ** 2).sum(0))
        np.testing.assert_allclose(got[row], np.concatenate([mean, deviation]), atol=1e-5)


def test_weights_of_tanh_attention_start_between_0_and_1():
    kernel = TanhAttention(1000, rngs=nnx.Rngs(1)).score.kernel[...]
    assert 0 <= kernel.min() < 0.02
    assert 0.98 < kernel.max() <= 1


@pytest.mark.torch
def test_tanh_attention_and_its_gradients_are_those_of_pytorch():
    torch = pytest.importorskip("torch")
    x, target = np.random.default_rng(0).normal(size=(2, 3, 7, 5)).astype(np.float32)
    frames = np.array([7, 4, 1])
    graphdef, state = nnx.split(TANH)

    def ours(state, x):
        return (nnx.merge(graphdef, state)(x, jnp.asarray(frames)) * target[:, 0]).sum()

    value, (by_state, by_x) = jax.value_and_grad(ours, argnums=(0, 1))(state, jnp.asarray(x))
    w = torch.tensor(np.asarray(TANH.score.kernel[...]), requires_grad=True)
    h = torch.tensor(x, requires_grad=True)
    beyond = torch.arange(7) >= torch.tensor(frames)[:, None]
    share = torch.tanh(h @ w).squeeze(-1).masked_fill(beyond, -torch.inf).softmax(dim=1)
    expected = ((h * share[:, :, None]).sum(1) * torch.tensor(target[:, 0])).sum()
    expected.backward()
    np.testing.assert_allclose(value, expected.item(), atol=1e-5)
    np.testing.assert_allclose(by_state.score.kernel[...], w.grad, atol=1e-5)
    np.testing.assert_allclose(by_x, h.grad, atol=1e-5)


@pytest.mark.parametrize("pool", POOLS, ids=IDS)
@pytest.mark.parametrize("length", [0, 1])
def test_gradients_are_finite_for_the_shortest_clips(pool, length):
    x = jnp.ones((1, 3, 5))
    value, gradient = jax.value_and_grad(lambda x: pool(x, jnp.array([length])).sum())(x)
    assert jnp.isfinite(value)
    assert jnp.isfinite(gradient).all()
    assert (gradient[:, length:] == 0).all()


@pytest.mark.parametrize("pool", [masked_mean, masked_mean_and_deviation], ids=IDS[:2])
def test_bfloat16_is_summed_in_float32(pool):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 3000, 2)) + 3, jnp.bfloat16)
    got = pool(x, jnp.array([3000]))
    assert got.dtype == jnp.bfloat16
    np.testing.assert_allclose(got.astype(jnp.float32), pool(x.astype(jnp.float32), jnp.array([3000])), rtol=2**-8)
