from dataclasses import replace
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from encoder_laws import KEY, build, check_above, check_finite, check_folds, check_key, encode, waves, within
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.models.encoders import attention, conformer_attention, feature_extractor
from serjax.models.encoders.build import build_encoder
from serjax.models.layers import attention as layers_attention
from serjax.runtime.errors import UserError

LENGTHS = jnp.array([600, 311, 30])


@settings(max_examples=15)
@given(lengths=st.lists(st.integers(0, 640), min_size=2, max_size=2))
def test_more_padding_and_its_content_change_nothing(config, lengths):
    state, run, count = build(config)[1], encode(config), jnp.array(lengths)
    short = within(run(state, waves(lengths, 640), count))
    long = within(run(state, waves(lengths, 1000, filler=3.0), count))
    np.testing.assert_allclose(long[:, :, : short.shape[2]], short, atol=1e-5)
    assert not long[:, :, short.shape[2] :].any()


@pytest.mark.parametrize("length", [30, 311])
def test_a_clip_alone_equals_the_clip_in_a_batch(config, length):
    state, run = build(config)[1], encode(config)
    batch = run(state, waves(LENGTHS, 640), LENGTHS)
    row = LENGTHS.tolist().index(length)
    alone = run(state, waves(LENGTHS, 640)[row : row + 1, :length], LENGTHS[row : row + 1])
    assert batch.lengths[row] == alone.lengths[0] == config.frames(length)
    for together, single in zip(batch.hidden_states, alone.hidden_states, strict=True):
        np.testing.assert_allclose(together[row, : alone.lengths[0]], single[0], atol=1e-5)


def test_gradients_ignore_padding(config):
    graphdef, state = build(config)

    @jax.jit
    def gradient(state, wave):
        return jax.grad(lambda s: jnp.sum(jnp.sin(within(nnx.merge(graphdef, s)(wave, LENGTHS)))))(state)

    short, long = gradient(state, waves(LENGTHS, 600)), gradient(state, waves(LENGTHS, 900, filler=1.0))
    for (path, a), b in zip(jax.tree.leaves_with_path(short), jax.tree.leaves(long), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4 * max(1, np.abs(a).max()), err_msg=jax.tree_util.keystr(path))


def test_padding_as_transformers_is_seen_by_group_norm_and_depthwise_convolutions_alone(config):
    state = build(config)[1]
    short, long = (
        within(encode(config, padding="transformers")(state, waves(LENGTHS, size), LENGTHS)) for size in (600, 1000)
    )
    differs = np.abs(short - long[:, :, : short.shape[2]]).max() > 1e-3
    assert differs == config.batch_padding_counts


def test_no_row_becomes_nan(config):
    check_finite(config, [0, 29, 30, 640])


def test_folds_in_one_vmap_equal_folds_one_by_one(config):
    check_folds(config, LENGTHS)


def test_layers_run_apart_from_what_comes_before_them(config):
    check_above(config, config.num_hidden_layers - 1, LENGTHS)


def test_training_follows_its_key_and_evaluation_has_none(config):
    state, run, wave = build(config)[1], encode(config), waves(LENGTHS, 640)
    evaluation, training = within(run(state, wave, LENGTHS)), within(run(state, wave, LENGTHS, KEY))
    np.testing.assert_array_equal(
        run(state, wave, LENGTHS).hidden_states[-1], run(state, wave, LENGTHS).hidden_states[-1]
    )
    np.testing.assert_array_equal(training, within(run(state, wave, LENGTHS, KEY)))
    assert np.abs(training - within(run(state, wave, LENGTHS, jax.random.key(8)))).max() > 0.1
    assert np.abs(training - evaluation).max() > 0.1


def quiet(config, **changes):
    """Return the configuration without any randomness but what is asked for."""
    nothing = {key: 0.0 for key in vars(config) if key.endswith("dropout") or key == "mask_time_prob"}
    return replace(config, **nothing | changes)


def test_without_any_rate_training_equals_evaluation(config):
    config = quiet(config)
    state, run, wave = build(config)[1], encode(config), waves(LENGTHS, 640)
    np.testing.assert_allclose(within(run(state, wave, LENGTHS, KEY)), within(run(state, wave, LENGTHS)), atol=1e-6)


def test_layerdrop_skips_whole_layers(config):
    config = quiet(config, layerdrop=0.5, num_hidden_layers=8, do_stable_layer_norm=False)
    state, run, wave = build(config)[1], encode(config), waves(LENGTHS, 640)
    states = np.asarray(within(run(state, wave, LENGTHS, KEY)))
    skipped = [np.array_equal(before, after) for before, after in pairwise(states)]
    assert 0 < sum(skipped) < 8


@pytest.mark.parametrize("feature", [False, True])
def test_masks_put_in_the_embedding_and_zero(config, feature):
    masks = {"mask_feature_prob": 0.5, "mask_feature_length": 2} if feature else {"mask_time_prob": 0.5}
    config = quiet(config, **masks)
    model = nnx.merge(*build(config))
    x = jnp.ones((2, 12, 16))
    got = np.asarray(model._augment(x, jnp.array([12, 6]), KEY))
    if feature:
        silent = (got == 0).all(1)
        assert silent.any(1).all()
        assert ((got == 1) | silent[:, None]).all()
    else:
        hidden = (got == np.asarray(model.masked_spec_embed[...])).all(-1)
        assert hidden.any(1).all()
        assert not hidden[1, 6:].any()
        assert (got[~hidden] == 1).all()


def test_spec_augment_can_be_switched_off(config):
    config = quiet(config, mask_time_prob=0.5, mask_feature_prob=0.5, mask_feature_length=2, apply_spec_augment=False)
    state, run, wave = build(config)[1], encode(config), waves(LENGTHS, 640)
    np.testing.assert_allclose(within(run(state, wave, LENGTHS, KEY)), within(run(state, wave, LENGTHS)), atol=1e-6)


def test_frozen_layers_run_as_in_evaluation(layer_config):
    config = replace(layer_config, mask_time_prob=0.0, feat_proj_dropout=0.3, layerdrop=0.3)
    check_key(config, (0, 1), LENGTHS)


@pytest.mark.slow
def test_remat_changes_no_gradient(layer_config):
    graphdef, state = build(layer_config)
    wave = waves(LENGTHS, 640)

    @partial(jax.jit, static_argnums=1)
    def gradient(states, remat):
        def loss(s):
            return jnp.sum(jnp.sin(within(nnx.merge(graphdef, s)(wave, LENGTHS, KEY, remat=remat))))

        return jax.vmap(jax.grad(loss))(states)

    folds = jax.tree.map(lambda leaf: jnp.stack([leaf, 0.9 * leaf]), state)
    for a, b in zip(jax.tree.leaves(gradient(folds, True)), jax.tree.leaves(gradient(folds, False)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4 * max(1, np.abs(b).max()))


def test_bfloat16_stays_near_float32(config):
    state, wave = build(config)[1], waves(LENGTHS, 640)
    low = encode(config)(
        jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), state), wave.astype(jnp.bfloat16), LENGTHS
    )
    assert {x.dtype for x in low.hidden_states} == {jnp.dtype(jnp.bfloat16)}
    full = within(encode(config)(state, wave, LENGTHS))
    assert np.abs(within(low).astype(jnp.float32) - full).max() < 0.05 * np.abs(full).max()


def test_the_last_state_is_normalised_in_both_layouts(config):
    state = build(config)[1]
    output = encode(config)(state, waves(LENGTHS, 640), LENGTHS)
    for row, count in enumerate(output.lengths):
        last = output.hidden_states[-1][row, :count]
        np.testing.assert_allclose(last.mean(-1), 0, atol=1e-5)
        np.testing.assert_allclose(last.std(-1), 1, atol=1e-2)


def test_long_clips_are_encoded_in_parts_as_the_whole_is(monkeypatch, config):
    graphdef, state = build(config)
    wave = np.random.default_rng(0).normal(size=(2, 610)).astype(np.float32)
    lengths = jnp.array([610, 400])
    whole, parted = (jax.jit(lambda *given: nnx.merge(graphdef, given[0])(*given[1:])) for _ in range(2))
    whole = whole(state, wave, lengths)
    for module in (attention, layers_attention, feature_extractor):
        monkeypatch.setattr(module, "LONG", 12)
    for module in (layers_attention, conformer_attention):
        monkeypatch.setattr(module, "BLOCK", 8)
    parted = parted(state, wave, lengths)
    for one, other in zip(whole.hidden_states, parted.hidden_states, strict=True):
        np.testing.assert_allclose(one[0], other[0], atol=2e-5)
        np.testing.assert_allclose(one[1, :19], other[1, :19], atol=2e-5)
    assert whole.attentions == parted.attentions == ()


def test_what_can_have_no_answer_is_refused(layer_config):
    model = build_encoder(layer_config, rngs=nnx.Rngs(0))
    with pytest.raises(UserError, match="the waves have 29 samples, but the first frame takes 30"):
        model(jnp.zeros((1, 29)), jnp.array([29]))
    with pytest.raises(UserError, match="NaN or infinity"):
        model(jnp.array([[0.1] * 39 + [jnp.nan]]), jnp.array([40]))
