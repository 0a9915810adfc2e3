"""Self-attention of encoders: equality with a plain formula, masks, WavLM's gate and relative positions."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from noise import noisy

from serjax.models.encoders import attention as module
from serjax.models.encoders.attention import Attention, GatedAttention, bucket
from serjax.models.encoders.wav2vec2_config import Wav2Vec2Config
from serjax.models.layers.attention import fused

N = 7
X = np.random.default_rng(0).normal(size=(2, N, 16)).astype(np.float32)
MASK = np.arange(N) < np.array([[N], [4]])


@pytest.fixture(scope="module")
def still(wavlm_config):
    return replace(wavlm_config, attention_dropout=0.0)


def formula(layer, x, mask, bias=0.0):
    """Return the attention of one clip in NumPy, a head at a time."""
    query, keys, values = (
        x @ np.asarray(part.kernel[...]) + np.asarray(part.bias[...])
        for part in (layer.q_proj, layer.k_proj, layer.v_proj)
    )
    width = query.shape[1] // layer.heads
    mixed, shares = [], []
    for head in range(layer.heads):
        own = slice(head * width, (head + 1) * width)
        scores = query[:, own] @ keys[:, own].T / np.sqrt(width) + np.broadcast_to(bias, (layer.heads, N, N))[head]
        weights = np.where(mask, np.exp(scores - scores[:, mask].max(1, keepdims=True)), 0)
        shares.append(weights / weights.sum(1, keepdims=True))
        mixed.append(shares[-1] @ values[:, own])
    out = layer.out_proj
    return np.concatenate(mixed, 1) @ np.asarray(out.kernel[...]) + np.asarray(out.bias[...]), np.stack(shares)


def test_attention_equals_the_formula_over_true_frames(still):
    layer = noisy(lambda rngs: Attention(still, rngs=rngs))
    found, shares = jax.jit(layer)(X, MASK, None)
    for row in range(2):
        expected, weights = formula(layer, X[row], MASK[row])
        np.testing.assert_allclose(found[row], expected, atol=1e-5)
        np.testing.assert_allclose(shares[row], weights, atol=1e-6)


def test_gated_attention_adds_the_gated_bias(still):
    layer = noisy(lambda rngs: GatedAttention(still, first=True, rngs=rngs))
    position = layer.relative_position(N)
    found, _ = jax.jit(layer)(X, MASK, None, position)
    size = 16 // layer.heads
    for row in range(2):
        linear = layer.gru_rel_pos_linear
        per_head = X[row].reshape(N, layer.heads, size) @ np.asarray(linear.kernel[...]) + np.asarray(linear.bias[...])
        gates = jax.nn.sigmoid(per_head.reshape(N, layer.heads, 2, 4).sum(-1))
        constant = np.asarray(layer.gru_rel_pos_const[...])[0, :, 0, 0]
        gate = gates[..., 0] * (gates[..., 1] * constant - 1) + 2
        bias = np.asarray(gate).T[:, :, None] * np.asarray(position)
        np.testing.assert_allclose(found[row], formula(layer, X[row], MASK[row], bias)[0], atol=1e-5)


def test_relative_position_is_a_gather_of_buckets(still):
    layer = noisy(lambda rngs: GatedAttention(still, first=True, rngs=rngs))
    distance = np.arange(N) - np.arange(N)[:, None]
    table = np.asarray(layer.rel_attn_embed.embedding[...])
    expected = table[bucket(distance.ravel(), still.num_buckets, still.max_bucket_distance)].reshape(N, N, -1)
    np.testing.assert_array_equal(layer.relative_position(N), expected.transpose(2, 0, 1))


def test_relative_position_of_a_symbolic_number_of_frames_is_the_same(still):
    layer = noisy(lambda rngs: GatedAttention(still, first=True, rngs=rngs))
    count = 2 * still.max_bucket_distance + 3
    exported = jax.export.export(jax.jit(lambda x: layer.relative_position(x.shape[0])))(
        jax.ShapeDtypeStruct(jax.export.symbolic_shape("n"), np.float32)
    )
    np.testing.assert_array_equal(exported.call(np.zeros(count, np.float32)), layer.relative_position(count))


def test_only_the_first_layer_holds_the_bias(still):
    shapes = nnx.eval_shape(lambda: GatedAttention(still, first=False, rngs=nnx.Rngs(0)))
    assert shapes.rel_attn_embed is None
    assert not any("rel_attn_embed" in path for path, _ in nnx.to_flat_state(nnx.state(shapes)))


def test_plain_attention_takes_no_relative_positions(still):
    layer = noisy(lambda rngs: Attention(still, rngs=rngs))
    with pytest.raises(TypeError, match="knows no relative positions"):
        layer(jnp.asarray(X), jnp.asarray(MASK), None, jnp.zeros((layer.heads, N, N)))


@settings(max_examples=40)
@given(st.sampled_from([(320, 800), (32, 128), (8, 6)]), st.integers(1, 2000))
def test_buckets_grow_with_distance_and_are_apart_by_direction(sizes, furthest):
    buckets, limit = sizes
    later = bucket(np.arange(1, furthest + 1), buckets, limit)
    earlier = bucket(-np.arange(1, furthest + 1), buckets, limit)
    np.testing.assert_array_equal(later, earlier + buckets // 2)
    assert (np.diff(earlier) >= 0).all()
    assert earlier.max() < buckets // 2
    exact = min(furthest, buckets // 4 - 1)
    np.testing.assert_array_equal(earlier[:exact], np.arange(1, exact + 1))
    assert bucket(np.array([0]), buckets, limit) == 0
    if furthest >= limit:
        assert earlier[-1] == buckets // 2 - 1


@pytest.mark.parametrize("family", ["hubert", "wavlm"])
def test_fused_attention_stands_in_where_it_serves_and_never_for_relative_positions(monkeypatch, family):
    calls = []

    def stand_in(*arrays):
        calls.append(arrays)
        return fused(*arrays, implementation="xla")

    config = Wav2Vec2Config(model_type=family, hidden_size=32, num_attention_heads=2)
    rngs = nnx.Rngs(0)
    kind = GatedAttention(config, first=True, rngs=rngs) if family == "wavlm" else Attention(config, rngs=rngs)
    x = jax.random.normal(jax.random.key(1), (3, 9, 32))
    mask = jnp.arange(9) < jnp.array([9, 5, 2])[:, None]
    position = kind.relative_position(9) if family == "wavlm" else None
    expected, shares = kind(x, mask, None, position)
    monkeypatch.setattr(module, "cudnn_serves", lambda *given: True)
    monkeypatch.setattr(module, "fused", stand_in)
    found, kept = kind(x, mask, None, position)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(kept, shares)
    assert len(calls) == (family == "hubert")
