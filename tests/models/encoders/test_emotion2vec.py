from dataclasses import replace
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from encoder_laws import (
    EMOTION2VEC,
    KEY,
    build,
    check_above,
    check_finite,
    check_folds,
    check_key,
    encode,
    waves,
    within,
)
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.models.encoders import attention
from serjax.models.encoders.emotion2vec import alibi_slopes
from serjax.models.layers import attention as layers_attention

# A frame sees 30 samples and the next one starts 20 later.
TINY = replace(
    EMOTION2VEC,
    num_conv_pos_embeddings=2,
    layerdrop=0.0,
    prenet_layerdrop=0.0,
    mask_time_prob=0.3,
    mask_time_length=3,
    mask_feature_length=2,
    apply_spec_augment=True,
)
LENGTHS = jnp.array([600, 311, 30])


@settings(max_examples=8, deadline=None)
@given(lengths=st.lists(st.integers(0, 640), min_size=2, max_size=2))
def test_more_padding_and_its_content_change_nothing(lengths):
    state, run, count = build(TINY)[1], encode(TINY), jnp.array(lengths)
    short = within(run(state, waves(lengths, 640), count))
    long = within(run(state, waves(lengths, 1000, filler=3.0), count))
    np.testing.assert_allclose(long[:, :, : short.shape[2]], short, atol=1e-5)
    assert not long[:, :, short.shape[2] :].any()


def test_a_clip_alone_equals_the_clip_in_a_batch_with_either_padding():
    state = build(TINY)[1]
    batch = encode(TINY, padding="transformers")(state, waves(LENGTHS, 640), LENGTHS)
    assert batch.lengths.tolist() == [29, 15, 1]
    alone = encode(TINY)(state, waves(LENGTHS, 640)[1:2, :311], LENGTHS[1:2])
    for together, single in zip(batch.hidden_states, alone.hidden_states, strict=True):
        np.testing.assert_allclose(together[1, :15], single[0], atol=1e-5)


def test_no_row_becomes_nan():
    gradient = check_finite(TINY, [0, 29, 30, 640])
    # Tokens and factors of ALiBi learn, too.
    assert np.abs(gradient["encoder"]["alibi_scale"][...]).min() > 0
    assert np.abs(gradient["encoder"]["extra_tokens"][...]).max() > 0


@pytest.mark.slow
def test_folds_in_one_vmap_equal_folds_one_by_one():
    check_folds(TINY, LENGTHS)


@pytest.mark.parametrize("first", [0, 1])
def test_layers_of_prenet_and_blocks_run_apart_from_what_comes_before_them(first):
    check_above(TINY, first, LENGTHS)


def test_training_follows_its_key_and_frozen_layers_do_not():
    check_key(replace(TINY, apply_spec_augment=False), (0, 1), LENGTHS)


def test_layerdrop_has_a_rate_in_the_prenet_and_one_in_the_blocks():
    quiet = dict.fromkeys(("hidden_dropout", "attention_dropout", "post_mlp_dropout", "prenet_dropout"), 0.0)
    layers = {"num_hidden_layers": 8, "prenet_depth": 6, "prenet_layerdrop": 0.5, "dropout_input": 0.0}
    config = replace(TINY, apply_spec_augment=False, **quiet, **layers)
    states = np.asarray(within(encode(config)(build(config)[1], waves(LENGTHS, 640), LENGTHS, KEY)))
    skipped = [np.array_equal(before, after) for before, after in pairwise(states)]
    assert 0 < sum(skipped[:6]) < 6
    assert not any(skipped[6:])


@pytest.mark.parametrize("feature", [False, True])
def test_masks_put_zero_over_spans_of_frames_or_features(feature):
    rates = {"mask_feature_prob": 0.5, "mask_time_prob": 0.0} if feature else {}
    model = nnx.merge(*build(replace(TINY, **rates)))
    hidden = np.asarray(model._augment(jnp.ones((2, 20, 16)), jnp.array([20, 12]), KEY)) == 0
    axis = 1 if feature else 2
    assert hidden.all(axis).any(1).all()
    assert (hidden.all(axis) == hidden.any(axis)).all()
    assert feature or not hidden[1, 12:].any()


def test_long_clips_are_encoded_in_parts_as_the_whole_is(monkeypatch):
    model = nnx.merge(*build(TINY))
    wave, lengths = waves([610, 400], 610), jnp.array([610, 400])
    whole = model(wave, lengths)
    monkeypatch.setattr(attention, "LONG", 12)
    monkeypatch.setattr(layers_attention, "BLOCK", 8)
    np.testing.assert_allclose(within(model(wave, lengths)), within(whole), atol=2e-5)


def test_attention_is_that_between_frames():
    output = encode(TINY, attentions=True)(build(TINY)[1], waves(LENGTHS, 640), LENGTHS)
    assert [one.shape for one in output.attentions] == [(3, 2, 31, 31)] * 2
    shares = np.asarray(output.attentions[0][1])
    assert shares[:, :, 15:].max() == 0
    # The rest is the tokens'.
    assert 0.5 < shares[:, :15].sum(-1).max() < 1


def test_bfloat16_stays_near_float32():
    state, wave = build(TINY)[1], waves(LENGTHS, 640)
    low = encode(TINY)(jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), state), wave, LENGTHS)
    assert {x.dtype for x in low.hidden_states} == {jnp.dtype(jnp.bfloat16)}
    full = within(encode(TINY)(state, wave, LENGTHS))
    # A norm of 16 features without a scale makes much of a little: the mean is told, not the largest.
    error = np.sqrt(np.mean(np.square(within(low).astype(jnp.float32) - full), axis=(1, 2, 3)))
    assert (error < 0.03 * np.sqrt(np.mean(np.square(full)))).all(), error


def test_slopes_halve_from_head_to_head_of_eight():
    assert alibi_slopes(8) == [2.0**-power for power in range(1, 9)]
    np.testing.assert_allclose(alibi_slopes(12), [*alibi_slopes(8), 2**-0.5, 2**-1.5, 2**-2.5, 2**-3.5])
    assert alibi_slopes(1) == [2**-8]
