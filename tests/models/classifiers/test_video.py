"""The network on video frames: missing frames, frozen stages, statistics, vmap and augmentation."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from resnets import random_network

from serjax.models.classifiers.video import VideoNet
from serjax.video.config import VideoAugment

SIZE = 32
KEY = jax.random.key(0)


def video(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).integers(0, 256, (*shape, SIZE, SIZE, 3)), jnp.uint8)


@pytest.fixture(scope="module")
def net():
    """A video network, split."""
    net = VideoNet(8, rngs=nnx.Rngs(1))
    net.resnet = random_network()
    return nnx.split(net, nnx.Param, nnx.BatchStat)


@partial(jax.jit, static_argnums=(0, 6))
def step(graphdef, state, clips, counts, weight, key, trained=None):
    """Return gradients, and values with the new statistics."""

    def loss(params):
        net = nnx.merge(graphdef, params, state[1], copy=True)
        net.trained = trained
        y = net(clips, counts, key, weight)
        return jnp.mean(jnp.sin(y) * (weight > 0)[:, None]), (y, nnx.state(net, nnx.BatchStat))

    return jax.grad(loss, has_aux=True)(state[0])


def assert_close(got, want, **tolerance):
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


def changed(before, after):
    """Return the first names of the leaves that differ."""
    pairs = zip(nnx.to_flat_state(before), nnx.to_flat_state(after), strict=True)
    return {path[1] for (path, old), (_, new) in pairs if not np.array_equal(old[...], new[...])}


def test_padded_frames_change_no_answer(net):
    network = jax.jit(nnx.merge(*net, copy=True))
    clips, counts = video(3, 4), jnp.array([4, 2, 0])
    y = network(clips, counts)
    np.testing.assert_allclose(network(clips.at[1, 2:].set(7).at[2].set(9), counts), y, atol=1e-5)
    np.testing.assert_allclose(network(clips[1:2, :2]), y[1:2], atol=1e-4)
    assert not np.allclose(network(clips.at[1, 1].set(7), counts)[1], y[1], atol=1e-3)
    assert jnp.isfinite(y).all()


def test_padded_frames_and_rows_change_no_statistic_or_gradient(net):
    graphdef, *state = net
    clips, counts, weight = video(3, 4), jnp.array([4, 2, 4]), jnp.array([1.0, 1.0, 0.0])
    found = step(graphdef, state, clips, counts, weight, KEY)
    spoilt = clips.at[1, 2:].set(200).at[2].set(90)
    again = step(graphdef, state, spoilt, counts, weight, KEY)
    for (gradient, (y, stats)), (other, (x, after)) in [(found, again)]:
        assert_close(gradient, other, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(y[:2], x[:2], atol=1e-4)
        assert_close(stats, after, rtol=1e-4, atol=1e-5)
    everything = step(graphdef, state, spoilt, jnp.array([4, 4, 4]), jnp.ones(3), KEY)
    for (_, a), (_, b) in zip(nnx.to_flat_state(found[1][1]), nnx.to_flat_state(everything[1][1]), strict=True):
        assert not np.allclose(a[...], b[...], rtol=1e-3)
    for path, leaf in nnx.to_flat_state(found[0]):
        assert jnp.isfinite(leaf[...]).all(), path
        assert jnp.abs(leaf[...]).max() > 0, path


@pytest.mark.parametrize(("trained", "moving"), [(0, set()), (1, {"layer4"}), (2, {"layer3", "layer4"})])
def test_frozen_stages_get_no_gradient_and_keep_statistics(net, trained, moving):
    graphdef, *state = net
    gradient, (_, stats) = step(graphdef, state, video(2, 3), jnp.array([3, 3]), jnp.ones(2), KEY, trained)
    assert changed(state[1], stats) == moving
    named = {path[1] for path, leaf in nnx.to_flat_state(gradient) if path[0] == "resnet" and np.any(leaf[...])}
    assert named == moving
    assert np.any(gradient["fc"]["kernel"][...])


def test_four_trained_stages_leave_the_stem_frozen(net):
    graphdef, *state = net
    _, (_, stats) = step(graphdef, state, video(2, 2), jnp.array([2, 2]), jnp.ones(2), KEY, 4)
    assert changed(state[1], stats) == {"layer1", "layer2", "layer3", "layer4"}


@pytest.mark.slow
def test_vmap_over_folds_is_a_loop(net):
    graphdef, *state = net
    folds = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf * 1.1]), state)
    arguments = folds, video(2, 2, 2), jnp.array([[2, 1], [2, 2]]), jnp.ones((2, 2)), jax.random.split(KEY, 2)
    together = jax.jit(jax.vmap(partial(step, graphdef)))(*arguments)
    for fold in range(2):
        alone = step(graphdef, *jax.tree.map(lambda leaf, fold=fold: leaf[fold], arguments))
        assert_close(jax.tree.map(lambda leaf, fold=fold: leaf[fold], together[1]), alone[1], rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_augmentation_needs_a_key(net):
    plain = nnx.merge(*net, copy=True)
    network = nnx.merge(*net, copy=True)
    network.augment = VideoAugment(brightness_p=1.0)
    clips, counts = video(2, 2), jnp.array([2, 2])
    np.testing.assert_array_equal(plain(clips, counts), network(clips, counts))
    train = jax.jit(lambda key: nnx.clone(network)(clips, counts, key))
    answers = [train(jax.random.key(seed)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(answers[0], answers[1])
    assert not np.allclose(answers[0], answers[2], atol=1e-4)


@pytest.mark.slow
def test_bfloat16_is_computed_in_bfloat16(net):
    graphdef, params, stats = net
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    network = nnx.merge(graphdef, half, stats, copy=True)
    clips = video(2, 2)
    assert network.sequence(clips)[0].dtype == jnp.bfloat16
    full = nnx.merge(*net, copy=True)
    np.testing.assert_allclose(network(clips).astype(jnp.float32), full(clips), atol=0.15)
