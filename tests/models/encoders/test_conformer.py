"""Conformer layers: what a convolution sees, and statistics that training leaves alone."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from noise import noisy

from serjax.models.encoders.conformer import ConvolutionModule, EncoderLayer, run_layers
from serjax.models.encoders.wav2vec2_bert_config import Wav2Vec2BertConfig
from serjax.models.encoders.wav2vec2_conformer_config import Wav2Vec2ConformerConfig

SIZE = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8, "conv_depthwise_kernel_size": 5}
BERT = Wav2Vec2BertConfig(**SIZE, position_embeddings_type=None)
CONFORMER = Wav2Vec2ConformerConfig(**SIZE, position_embeddings_type=None)
X = jnp.asarray(np.random.default_rng(0).normal(size=(1, 12, 8)), jnp.float32)


@pytest.mark.parametrize(("config", "seen"), [(BERT, range(6, 11)), (CONFORMER, range(4, 9))])
def test_frames_that_see_the_sixth(config, seen):
    module = noisy(lambda rngs: ConvolutionModule(config, rngs=rngs))
    changed = np.abs(module(X, None, None) - module(X.at[:, 6].set(0), None, None)).max((0, 2)) > 1e-6
    assert np.flatnonzero(changed).tolist() == list(seen)


def test_frames_beyond_a_clip_are_silence():
    module = noisy(lambda rngs: ConvolutionModule(CONFORMER, rngs=rngs))
    mask = jnp.arange(12)[None] < 7
    np.testing.assert_allclose(module(X, mask, None)[:, :7], module(X[:, :7], None, None), atol=1e-6)


def test_batch_norm_uses_and_keeps_its_running_statistics():
    module = noisy(lambda rngs: ConvolutionModule(CONFORMER, rngs=rngs))
    before = [np.asarray(leaf[...]) for _, leaf in nnx.to_flat_state(nnx.state(module, nnx.BatchStat))]
    assert len(before) == 2
    alone = module(X, None, None)
    # In a batch with a clip of another level it is what it is alone.
    together = module(jnp.concatenate([X, 100 * X]), None, None)
    np.testing.assert_allclose(together[0], alone[0], atol=1e-6)
    after = [leaf[...] for _, leaf in nnx.to_flat_state(nnx.state(module, nnx.BatchStat))]
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))


def test_each_half_step_and_residual_counts():
    layer = noisy(lambda rngs: EncoderLayer(BERT, rngs=rngs))
    mask = jnp.ones((1, 12), bool)
    found, shares = layer(X, mask, None)
    assert shares is None
    x = X + 0.5 * layer.ffn1(layer.ffn1_layer_norm(X), None)
    x = x + layer.self_attn(layer.self_attn_layer_norm(x), mask, None, None, shares=False)[0]
    x = x + layer.conv_module(x, mask, None)
    x = x + 0.5 * layer.ffn2(layer.ffn2_layer_norm(x), None)
    np.testing.assert_allclose(found, layer.final_layer_norm(x), atol=1e-6)


def test_the_first_state_is_silent_beyond_a_clip():
    parts = {"frozen_layers": None, "remat": False, "attentions": False}
    mask = jnp.arange(12)[None] < 7
    states, _ = run_layers(BERT, nnx.List([]), X, mask, None, None, mask, **parts)
    np.testing.assert_array_equal(states[0], jnp.where(mask[..., None], X, 0))
