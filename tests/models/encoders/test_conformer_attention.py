"""Attention of conformer layers: each kind of positions against the formula of its paper, pair by pair of frames."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from noise import noisy

from serjax.models.encoders import conformer_attention as module
from serjax.models.encoders.conformer_attention import Attention, rates, rotation, sinusoids, skewed
from serjax.models.encoders.wav2vec2_bert_config import Wav2Vec2BertConfig

CONFIG = Wav2Vec2BertConfig(
    hidden_size=8, num_attention_heads=2, left_max_position_embeddings=3, right_max_position_embeddings=1
)
N, WIDTH = 6, 4
KINDS = ("relative_key", "relative", "rotary", None)


def of_kind(kind):
    config = replace(CONFIG, position_embeddings_type=kind)
    layer = noisy(lambda rngs: Attention(config, rngs=rngs))
    positions = {"relative": sinusoids(N, 8), "rotary": rotation(jnp.asarray(rates(config)), N)}.get(kind)
    return config, layer, positions


def turned(vector, place):
    """Return a head's features, paired with those half a head further on, turned by the frame's position."""
    angle = place / 10_000 ** (np.arange(0, WIDTH, 2) / WIDTH)
    first, second = vector[: WIDTH // 2], vector[WIDTH // 2 :]
    return np.concatenate(
        [first * np.cos(angle) - second * np.sin(angle), second * np.cos(angle) + first * np.sin(angle)]
    )


def wave_of(distance):
    """Return sines and cosines in turn."""
    angle = distance / 10_000 ** (np.arange(0, 8, 2) / 8)
    return np.stack([np.sin(angle), np.cos(angle)], 1).ravel()


def formula(kind, layer, x, mask):
    """Return the attention of one clip and its shares."""
    heads = lambda x: x.reshape(N, 2, WIDTH)  # noqa: E731
    apply = lambda part, x: x @ np.asarray(part.kernel[...]) + (0 if part.bias is None else np.asarray(part.bias[...]))  # noqa: E731
    told = x
    if kind == "rotary":
        told = np.stack([np.concatenate([turned(head, i) for head in row]) for i, row in enumerate(heads(x))])
    query, keys, values = (
        heads(apply(part, y)) for part, y in ((layer.linear_q, told), (layer.linear_k, told), (layer.linear_v, x))
    )
    scores = np.zeros((2, N, N))
    for h, i, j in np.ndindex(2, N, N):
        q, k, beside = query[i, h], keys[j, h], 0.0
        if kind == "relative_key":
            beside = q @ np.asarray(layer.distance_embedding.embedding[...])[np.clip(j - i, -3, 1) + 3]
        if kind == "relative":
            beside = (q + np.asarray(layer.pos_bias_v[h])) @ apply(layer.linear_pos, wave_of(i - j)).reshape(2, WIDTH)[
                h
            ]
            q = q + np.asarray(layer.pos_bias_u[h])
        scores[h, i, j] = (q @ k + beside) / np.sqrt(WIDTH)
    shares = np.where(mask, np.exp(scores - scores.max(-1, keepdims=True)), 0)
    shares /= shares.sum(-1, keepdims=True)
    return apply(layer.linear_out, np.einsum("hij,jhe->ihe", shares, values).reshape(N, 8)), shares


@pytest.mark.parametrize("kind", KINDS)
def test_attention_is_that_of_the_formula(kind):
    _, layer, positions = of_kind(kind)
    x, mask = np.random.default_rng(0).normal(size=(2, N, 8)).astype(np.float32), np.arange(N) < np.array([[N], [4]])
    found, shares = jax.jit(lambda x: layer(x, mask, None, positions, shares=True))(x)
    for row in range(2):
        expected, weights = formula(kind, layer, x[row], mask[row])
        np.testing.assert_allclose(found[row], expected, atol=1e-5)
        np.testing.assert_allclose(shares[row], weights, atol=1e-5)


@pytest.mark.parametrize("kind", ["relative_key", "relative"])
@pytest.mark.parametrize("block", [2, 4])
def test_rows_of_a_long_clip_are_those_of_the_whole(monkeypatch, kind, block):
    _, layer, positions = of_kind(kind)
    x, mask = np.random.default_rng(1).normal(size=(1, N, 8)).astype(np.float32), np.arange(N) < np.array([[5]])
    whole, _ = layer(x, mask, None, positions, shares=False)
    monkeypatch.setattr(module, "BLOCK", block)
    monkeypatch.setattr(module, "in_parts", lambda *_: True)
    parted, shares = layer(x, mask, None, positions, shares=False)
    assert shares is None
    np.testing.assert_allclose(parted, whole, atol=1e-5)


@pytest.mark.parametrize(("rows", "columns"), [(4, 7), (3, 9), (1, 2)])
def test_a_skewed_row_begins_further_on(rows, columns):
    x = np.arange(rows * columns).reshape(1, rows, columns)
    expected = [x[0, i, rows - 1 - i : columns - i] for i in range(rows)]
    np.testing.assert_array_equal(skewed(jnp.asarray(x, jnp.float32))[0], expected)
