"""What joins sound and video, on vectors and sequences made up: masks, gates, dropout, and PyTorch as a witness."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from fusion_modules import AUDIO, SMALL, VIDEO, cross, gated, loaded, mlp, normal, torch_module

from serjax.models.fusion.heads import ConcatFusion, Present, average, hide

KEY = jax.random.key(0)
BOTH = Present(jnp.array([True, True, False, False]), jnp.array([True, False, True, False]))
N, F = 9, 4


def vectors(batch=4, seed=0):
    return normal(batch, AUDIO, seed=seed), normal(batch, VIDEO, seed=seed + 1)


def concat(**options):
    return ConcatFusion(AUDIO, VIDEO, replace(SMALL, kind="concat", **options), 3, rngs=nnx.Rngs(0))


def present(audio, video):
    return Present(jnp.array(audio), jnp.array(video))


def test_late_fusion_averages_probabilities_of_present_modalities():
    a, v = normal(4, 3), 3 * normal(4, 3, seed=1)
    p, q = jax.nn.softmax(a), jax.nn.softmax(v)
    found = average(a, v, BOTH)
    expected = jnp.log(jnp.stack([(p[0] + q[0]) / 2, p[1], q[2], (p[3] + q[3]) / 2]))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_cross_entropy_of_late_is_the_negative_logarithm_of_the_mean():
    a, v = normal(4, 3), 3 * normal(4, 3, seed=1)
    found = average(a, v, present([True] * 4, [True] * 4))
    np.testing.assert_allclose(jax.nn.log_softmax(found), found, atol=1e-6)
    np.testing.assert_allclose(jnp.exp(found).sum(-1), 1, rtol=1e-5)


def test_late_fusion_gradients_are_finite_and_zero_for_missing_modalities():
    a, v = normal(4, 3), normal(4, 3, seed=1)
    to_audio, to_video = jax.grad(lambda a, v: average(a, v, BOTH)[:, 0].sum(), (0, 1))(a, v)
    assert jnp.isfinite(to_audio).all()
    assert jnp.isfinite(to_video).all()
    assert not to_video[1].any()
    assert not to_audio[2].any()
    assert to_audio[0].any()
    assert to_video[0].any()


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_modality_dropout_hides_sound_or_video_but_never_both(rate):
    there = present([True] * 4000, [True] * 4000)
    found = hide(there, rate, KEY)
    assert abs(1 - found.audio.mean() - rate) < 0.03
    assert abs(1 - found.video.mean() - rate) < 0.03
    assert (found.audio | found.video).all()


def test_modality_dropout_skips_clips_with_one_modality():
    many = present([True, False] * 500, [False, True] * 500)
    for one, other in zip(hide(many, 0.5, KEY), many, strict=True):
        np.testing.assert_array_equal(one, other)
    assert hide(BOTH, 0.2, None) is BOTH


@pytest.mark.parametrize("make", [gated, concat])
def test_missing_modality_changes_nothing(make):
    fusion, (a, v) = make(), vectors()
    yes, no = [True] * 4, [False] * 4
    for there, other in ((present(no, yes), (a + 9, v)), (present(yes, no), (a, v - 9))):
        np.testing.assert_array_equal(fusion(a, v, there).logits, fusion(*other, there).logits)
        assert not np.allclose(fusion(a, v, there).logits, fusion(a, v, present(yes, yes)).logits)


def test_gate_gives_all_weight_to_the_only_modality():
    fusion, (a, v) = gated(), vectors()
    found = fusion(a, v, BOTH)
    assert 0 < found.audio_share[0] < 1
    assert found.audio_share[1:3].tolist() == [1, 0]
    np.testing.assert_allclose(found.logits[1], fusion.classifier(fusion.audio_proj(a))[1], atol=1e-6)
    np.testing.assert_allclose(found.logits[2], fusion.classifier(fusion.video_proj(v))[2], atol=1e-6)
    assert jnp.isfinite(found.logits).all()


@pytest.mark.parametrize("make", [gated, concat, cross])
def test_modality_dropout_is_for_training_and_follows_its_key(make):
    fusion, plain = make(modality_dropout=0.5), make(modality_dropout=0.0)
    lots = 64
    if make is cross:
        arguments = (normal(lots, N, AUDIO), jnp.full(lots, N), normal(lots, F, VIDEO), jnp.full(lots, F))
    else:
        arguments = (*vectors(lots), present([True] * lots, [True] * lots))
    np.testing.assert_array_equal(fusion(*arguments).logits, plain(*arguments).logits)
    np.testing.assert_array_equal(fusion(*arguments, KEY).logits, fusion(*arguments, KEY).logits)
    # At 0.5 each, every clip loses one.
    differ = np.abs(fusion(*arguments, KEY).logits - plain(*arguments, KEY).logits).max(1) > 1e-4
    assert differ.mean() > 0.9


@pytest.mark.parametrize("name", ["gated", "xattn"])
def test_vmap_over_folds_is_a_loop(name):
    graphdef, state = nnx.split(cross("gated", attention_dropout=0.2) if name == "xattn" else gated(dropout=0.2))
    folds = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf * 1.1]), state)
    keys = jax.random.split(KEY, 2)
    if name == "xattn":
        data = normal(2, 3, N, AUDIO), jnp.array([[N, 4, 2]] * 2), normal(2, 3, F, VIDEO), jnp.array([[F, 1, 0]] * 2)
    else:
        data = normal(2, 4, AUDIO), normal(2, 4, VIDEO), jax.tree.map(lambda x: jnp.stack([x, ~x]), BOTH)

    def loss(state, data, key):
        return jnp.sin(nnx.merge(graphdef, state)(*data, key).logits).sum()

    step = jax.jit(jax.value_and_grad(loss))
    together = jax.jit(jax.vmap(step))(folds, data, keys)
    for fold in range(2):
        alone = step(*jax.tree.map(lambda x, fold=fold: x[fold], (folds, data, keys)))
        for got, want in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(got[fold], want, rtol=1e-4, atol=1e-5)
            assert jnp.isfinite(want).all()


@pytest.mark.torch
def test_gated_fusion_equals_pytorch():
    torch = torch_module()
    nn, peer, width = torch.nn, torch.nn.Module(), SMALL.common
    peer.audio_proj, peer.video_proj = nn.Linear(AUDIO, width), nn.Linear(VIDEO, width)
    peer.gate, peer.classifier = mlp(torch, 2 * width, width, 1), nn.Linear(width, 3)
    ours, (a, v) = loaded(gated(), peer), vectors()
    with torch.no_grad():
        heard, seen = peer.audio_proj(torch.tensor(np.asarray(a))), peer.video_proj(torch.tensor(np.asarray(v)))
        g = peer.gate.forward(torch.cat([heard, seen], -1)).sigmoid()
        expected = peer.classifier(g * heard + (1 - g) * seen)
    found = ours(a, v, present([True] * 4, [True] * 4))
    np.testing.assert_allclose(found.logits, expected, atol=1e-5)
    np.testing.assert_allclose(found.audio_share, g[:, 0], atol=1e-5)
    assert found.logits.std() > 0.05
