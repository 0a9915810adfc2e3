from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from encoder_laws import build, check_above, check_finite, check_folds, check_key, encode, waves, within
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.audio.filter_bank import filter_bank
from serjax.models.encoders.wav2vec2_bert import SpeechEncoder, stacked_banks
from serjax.models.encoders.wav2vec2_bert_config import Wav2Vec2BertConfig
from serjax.runtime.errors import UserError

TINY = Wav2Vec2BertConfig(
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=24,
    feature_projection_input_dim=32,
    left_max_position_embeddings=4,
    right_max_position_embeddings=2,
    conv_depthwise_kernel_size=3,
    layerdrop=0.0,
    hidden_dropout=0.2,
    mask_time_prob=0.3,
    mask_time_length=2,
)
LENGTHS = jnp.array([8000, 3333, 560])
banks = jax.jit(stacked_banks, static_argnums=2)


@settings(max_examples=8, deadline=None)
@given(lengths=st.lists(st.integers(0, 6400), min_size=2, max_size=2))
def test_more_padding_and_its_content_change_nothing(lengths):
    state, count = build(TINY)[1], jnp.array(lengths)
    short = within(encode(TINY)(state, waves(lengths, 6400), count))
    long = within(encode(TINY, padding="transformers")(state, waves(lengths, 12_000, filler=0.3), count))
    np.testing.assert_allclose(long[:, :, : short.shape[2]], short, atol=1e-5)
    assert not long[:, :, short.shape[2] :].any()


def test_a_clip_alone_equals_the_clip_in_a_batch():
    state, run = build(TINY)[1], encode(TINY)
    batch = run(state, waves(LENGTHS, 8000), LENGTHS)
    assert batch.lengths.tolist() == [24, 9, 1]
    alone = run(state, waves(LENGTHS, 8000)[1:2, :3333], LENGTHS[1:2])
    for together, single in zip(batch.hidden_states, alone.hidden_states, strict=True):
        np.testing.assert_allclose(together[1, :9], single[0, :9], atol=1e-5)


def test_no_row_becomes_nan():
    check_finite(TINY, [0, 559, 7999], 8000)


@pytest.mark.slow
def test_folds_in_one_vmap_equal_folds_one_by_one():
    check_folds(TINY, LENGTHS, 8000)


def test_layers_run_apart_from_what_comes_before_them():
    check_above(replace(TINY, num_hidden_layers=2), 1, LENGTHS, 8000)


def test_training_follows_its_key_and_frozen_layers_do_not():
    check_key(replace(TINY, num_hidden_layers=2, mask_time_prob=0.0), (1,), LENGTHS, 8000)


def test_bfloat16_rounds_behind_mean_and_variance():
    state, wave = build(TINY)[1], waves(LENGTHS, 8000)
    low = encode(TINY)(jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), state), wave, LENGTHS)
    assert {x.dtype for x in low.hidden_states} == {jnp.dtype(jnp.bfloat16)}
    full = within(encode(TINY)(state, wave, LENGTHS))
    assert np.abs(within(low).astype(jnp.float32) - full).max() < 0.05 * np.abs(full).max()
    # A weak sound on a large offset, of which 16 bits would leave nothing.
    offset = 0.9 + 1e-5 * waves(LENGTHS, 8000)
    low = encode(TINY)(jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), state), offset, LENGTHS)
    full = within(encode(TINY)(state, offset, LENGTHS))
    assert np.abs(within(low).astype(jnp.float32) - full).max() < 0.05 * np.abs(full).max()


@pytest.mark.parametrize(("samples", "odd"), [(560, 0), (720, 1), (8000, 0)])
def test_each_filter_is_normalised_over_all_frames_and_an_odd_last_one_is_left_out(samples, odd):
    wave = waves([samples], samples)
    bank = np.asarray(jax.jit(filter_bank, static_argnums=1)(wave, 16)[0], np.float64)
    expected = (bank - bank.mean(0)) / np.sqrt(bank.var(0, ddof=1) + 1e-7)
    found = np.asarray(banks(jnp.pad(wave, ((0, 0), (0, 500))), jnp.array([samples]), 16)).reshape(-1, 16)
    count = len(bank) - odd
    assert count == 2 * TINY.frames(samples)
    np.testing.assert_allclose(found[:count], expected[:count], atol=1e-4)


def test_what_can_have_no_answer_is_refused():
    model = SpeechEncoder(TINY, rngs=nnx.Rngs(0))
    with pytest.raises(UserError, match="the waves have 559 samples, but the first frame takes 560"):
        model(jnp.zeros((1, 559)), jnp.array([559]))
