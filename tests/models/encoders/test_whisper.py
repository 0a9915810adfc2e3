from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from encoder_laws import KEY, build, check_above, check_finite, check_folds, check_key, encode, waves, within
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.models.encoders.whisper import log_mel, sinusoids
from serjax.models.encoders.whisper_config import WhisperConfig

# Positions for half a second.
TINY = WhisperConfig(
    num_mel_bins=16,
    d_model=16,
    encoder_layers=1,
    encoder_attention_heads=2,
    encoder_ffn_dim=24,
    max_source_positions=25,
    dropout=0.2,
    mask_time_prob=0.3,
    mask_time_length=2,
    apply_spec_augment=True,
)
LENGTHS = jnp.array([8000, 3333, 320])


@pytest.mark.parametrize("padding", ["exact", "transformers"])
@settings(max_examples=8, deadline=None)
@given(lengths=st.lists(st.integers(320, 6400), min_size=2, max_size=2))
def test_more_padding_and_its_content_change_nothing(padding, lengths):
    state, run, count = build(TINY)[1], encode(TINY, padding=padding), jnp.array(lengths)
    short = within(run(state, waves(lengths, 6400), count))
    # Buckets may be longer than all positions.
    for size in (7900, 12_000):
        longer = within(run(state, waves(lengths, size, filler=3.0), count))
        np.testing.assert_allclose(longer[:, :, : short.shape[2]], short[:, :, : longer.shape[2]], atol=1e-5)
    assert short.any()


def test_a_clip_alone_equals_the_clip_in_a_batch():
    state, run = build(TINY)[1], encode(TINY)
    batch = run(state, waves(LENGTHS, 8000), LENGTHS)
    assert batch.lengths.tolist() == [25, 10, 1]
    for row, length in enumerate(LENGTHS.tolist()):
        alone = run(state, waves(LENGTHS, 8000)[row : row + 1, :length], LENGTHS[row : row + 1])
        for together, single in zip(batch.hidden_states, alone.hidden_states, strict=True):
            count = int(alone.lengths[0])
            np.testing.assert_allclose(together[row, :count], single[0, :count], atol=1e-5)


def test_both_paddings_agree_below_the_layers_and_on_the_longest_clip():
    state, wave = build(TINY)[1], waves(LENGTHS, 8000)
    exact, whole = encode(TINY)(state, wave, LENGTHS), encode(TINY, padding="transformers")(state, wave, LENGTHS)
    np.testing.assert_allclose(within(exact)[0], within(whole)[0], atol=1e-6)
    np.testing.assert_allclose(exact.hidden_states[-1][0], whole.hidden_states[-1][0], atol=1e-5)
    assert np.abs(within(exact)[-1, 1] - within(whole)[-1, 1]).max() > 1e-2


def test_no_row_becomes_nan():
    check_finite(TINY, [0, 320, 7999], 8000)


def test_folds_in_one_vmap_equal_folds_one_by_one():
    check_folds(TINY, LENGTHS, 8000)


def test_layers_run_apart_from_what_comes_before_them():
    check_above(replace(TINY, encoder_layers=2), 1, LENGTHS, 8000)


def test_training_follows_its_key_and_frozen_layers_do_not():
    check_key(replace(TINY, encoder_layers=2, mask_time_prob=0.0), (0, 1), LENGTHS, 8000)


@pytest.mark.parametrize("feature", [False, True])
def test_masks_put_zero_over_spans_of_the_spectrogram(feature):
    masks = {"mask_feature_prob": 0.5, "mask_feature_length": 2, "mask_time_prob": 0.0} if feature else {}
    model = nnx.merge(*build(replace(TINY, **masks)))
    hidden = np.asarray(model._augment(jnp.ones((2, 50, 16)), jnp.array([8000, 3200]), KEY)) == 0
    if feature:
        assert hidden.all(1).any(1).all()
        assert (hidden.all(1) == hidden.any(1)).all()
    else:
        assert hidden.all(2).any(1).all()
        assert (hidden.all(2) == hidden.any(2)).all()
        assert not hidden[1, 20:].any()


def test_bfloat16_stays_near_float32_and_takes_whole_waves():
    state, wave = build(TINY)[1], waves(LENGTHS, 8000)
    cast = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), state)
    low = encode(TINY)(cast, wave, LENGTHS)
    assert {x.dtype for x in low.hidden_states} == {jnp.dtype(jnp.bfloat16)}
    full = within(encode(TINY)(state, wave, LENGTHS))
    assert np.abs(within(low).astype(jnp.float32) - full).max() < 0.05 * np.abs(full).max()


def test_the_spectrogram_spans_eight_decades_below_a_clips_maximum():
    rng = np.random.default_rng(0)
    wave = np.concatenate([rng.normal(0, 1, 1600), rng.normal(0, 1e-6, 3200)]).astype(np.float32)
    mel = np.asarray(log_mel(jnp.stack([wave, np.zeros_like(wave)]), jnp.array([4800, 0]), 80, 480_000))
    np.testing.assert_allclose(mel[0].max() - mel[0].min(), 2.0, atol=1e-6)
    np.testing.assert_allclose(mel[1], (np.log10(1e-10) + 4) / 4, atol=1e-6)


def test_positions_are_sines_and_then_cosines():
    table = sinusoids(5, 8)
    np.testing.assert_allclose(table[0], [0] * 4 + [1] * 4)
    np.testing.assert_allclose(
        table[3, [0, 3, 4, 7]], np.array([np.sin(3), np.sin(3e-4), np.cos(3), np.cos(3e-4)]), 1e-6
    )
