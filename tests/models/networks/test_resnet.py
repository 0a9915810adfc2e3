import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from serjax.checkpoints.conversion import to_tensors
from serjax.checkpoints.resnet import load_resnet, save_resnet
from serjax.models.functional import abstract, count
from serjax.models.networks.resnet import ResNet18, normalize
from serjax.models.video import VideoNet
from serjax.video.augment import VideoAugment

pytestmark = pytest.mark.usefixtures("compile_quickly")
SIZE = 32
KEY = jax.random.key(0)


def video(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).integers(0, 256, (*shape, SIZE, SIZE, 3)), jnp.uint8)


def random_network(seed=0):
    """Return a network whose weights and running statistics hide no mistake."""
    network = ResNet18(rngs=nnx.Rngs(seed))
    noise = np.random.default_rng(seed)
    for path, leaf in nnx.to_flat_state(nnx.state(network)):
        if path[-1] != "kernel":
            centre = float(path[-1] in ("scale", "var"))
            leaf.set_value(jnp.asarray(centre + 0.3 * np.tanh(noise.normal(size=leaf.shape)), jnp.float32))
    return network


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


def test_parameters_are_as_many_as_the_seeds():
    assert count(nnx.state(abstract(lambda rngs: VideoNet(8, rngs=rngs)))) == 11_180_616
    assert count(nnx.state(abstract(lambda rngs: ResNet18(rngs=rngs)))) == 11_176_512


def test_published_pictures_have_mean_zero_and_deviation_one():
    colour = np.array([0.485, 0.456, 0.406]) * 255 + np.array([0.229, -0.224, 0]) * 255
    np.testing.assert_allclose(normalize(jnp.asarray(colour, jnp.float32)[None, None]), [[[1, -1, 0]]], atol=1e-5)
    whole = jnp.arange(256, dtype=jnp.uint8)[:, None, None] * jnp.ones((1, 1, 3), jnp.uint8)
    assert normalize(whole).dtype == jnp.float32
    np.testing.assert_array_equal(normalize(whole), normalize(whole.astype(jnp.float32)))


def test_missing_frames_change_nothing(net):
    network = jax.jit(nnx.merge(*net, copy=True))
    clips, counts = video(3, 4), jnp.array([4, 2, 0])
    y = network(clips, counts)
    np.testing.assert_allclose(network(clips.at[1, 2:].set(7).at[2].set(9), counts), y, atol=1e-5)
    np.testing.assert_allclose(network(clips[1:2, :2]), y[1:2], atol=1e-4)
    assert not np.allclose(network(clips.at[1, 1].set(7), counts)[1], y[1], atol=1e-3)
    assert jnp.isfinite(y).all()


def test_statistics_and_gradients_are_those_of_real_frames_and_rows(net):
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
def test_frozen_stages_neither_learn_nor_move(net, trained, moving):
    graphdef, *state = net
    gradient, (_, stats) = step(graphdef, state, video(2, 3), jnp.array([3, 3]), jnp.ones(2), KEY, trained)
    assert changed(state[1], stats) == moving
    named = {path[1] for path, leaf in nnx.to_flat_state(gradient) if path[0] == "resnet" and np.any(leaf[...])}
    assert named == moving
    assert np.any(gradient["fc"]["kernel"][...])


def test_all_stages_without_the_stem_can_be_trained(net):
    graphdef, *state = net
    _, (_, stats) = step(graphdef, state, video(2, 2), jnp.array([2, 2]), jnp.ones(2), KEY, 4)
    assert changed(state[1], stats) == {"layer1", "layer2", "layer3", "layer4"}


def test_vmap_over_folds_is_a_loop(net):
    graphdef, *state = net
    folds = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf * 1.1]), state)
    arguments = folds, video(2, 2, 2), jnp.array([[2, 1], [2, 2]]), jnp.ones((2, 2)), jax.random.split(KEY, 2)
    together = jax.jit(jax.vmap(partial(step, graphdef)))(*arguments)
    for fold in range(2):
        alone = step(graphdef, *jax.tree.map(lambda leaf, fold=fold: leaf[fold], arguments))
        assert_close(jax.tree.map(lambda leaf, fold=fold: leaf[fold], together[1]), alone[1], rtol=1e-3, atol=1e-3)


def test_augmentation_is_for_training(net):
    plain = nnx.merge(*net, copy=True)
    network = nnx.merge(*net, copy=True)
    network.augment = VideoAugment(brightness_p=1.0)
    clips, counts = video(2, 2), jnp.array([2, 2])
    np.testing.assert_array_equal(plain(clips, counts), network(clips, counts))
    train = jax.jit(lambda key: nnx.clone(network)(clips, counts, key))
    answers = [train(jax.random.key(seed)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(answers[0], answers[1])
    assert not np.allclose(answers[0], answers[2], atol=1e-4)


def test_bfloat16_is_computed_in_bfloat16(net):
    graphdef, params, stats = net
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    network = nnx.merge(graphdef, half, stats, copy=True)
    clips = video(2, 2)
    assert network.sequence(clips)[0].dtype == jnp.bfloat16
    full = nnx.merge(*net, copy=True)
    np.testing.assert_allclose(network(clips).astype(jnp.float32), full(clips), atol=0.15)


def torch_modules():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("torch"), pytest.importorskip("transformers")


def peer_of(folder):
    torch, transformers = torch_modules()
    return torch, transformers.ResNetModel.from_pretrained(folder)


@pytest.mark.torch
def test_one_training_step_is_that_of_transformers(tmp_path):
    network = random_network()
    save_resnet(network, tmp_path)
    torch, peer = peer_of(tmp_path)
    graphdef, *state = nnx.split(network, nnx.Param, nnx.BatchStat)
    image = jnp.asarray(np.random.default_rng(0).normal(size=(4, 45, 64, 3)), jnp.float32)

    @jax.jit
    def gradients(params):
        def loss(params):
            module = nnx.merge(graphdef, params, state[1], copy=True)
            y = module(image, jnp.ones(4, bool))
            return jnp.mean(jnp.sin(y)), (y, nnx.state(module, nnx.BatchStat))

        return jax.grad(loss, has_aux=True)(params)

    gradient, (y, stats) = gradients(state[0])
    expected = peer.train()(torch.tensor(np.asarray(image)).permute(0, 3, 1, 2)).pooler_output[:, :, 0, 0]
    expected.sin().mean().backward()
    np.testing.assert_allclose(y, expected.detach(), rtol=0, atol=1e-4)
    save_resnet(nnx.merge(graphdef, state[0], stats, copy=True), tmp_path / "after")
    after = peer_of(tmp_path / "after")[1].state_dict()
    for key, value in peer.state_dict().items():
        if "running" in key:
            np.testing.assert_allclose(after[key], value, rtol=1e-4, atol=1e-4, err_msg=key)
    save_resnet(nnx.merge(graphdef, gradient, state[1], copy=True), tmp_path / "gradient")
    found = peer_of(tmp_path / "gradient")[1].state_dict()
    for key, parameter in peer.named_parameters():
        scale = float(parameter.grad.abs().max()) + 1e-4
        np.testing.assert_allclose(found[key], parameter.grad, rtol=0, atol=1e-3 * scale, err_msg=key)


@pytest.mark.torch
def test_evaluation_is_that_of_transformers_whatever_the_layout_of_the_weights(tmp_path):
    network = random_network()
    save_resnet(network, tmp_path)
    torch, peer = peer_of(tmp_path)
    image = jnp.asarray(np.random.default_rng(0).normal(size=(2, 112, 112, 3)), jnp.float32)
    with torch.no_grad():
        expected = peer.eval()(torch.tensor(np.asarray(image)).permute(0, 3, 1, 2))
    named = {key: torch.tensor(value) for key, value in to_tensors(network).items()}
    named |= {"fc.weight": torch.ones(1000, 512), "fc.bias": torch.ones(1000)}
    for legacy in (False, True):
        torch.save(named, tmp_path / f"resnet18-{legacy}.pth", _use_new_zipfile_serialization=not legacy)
    whole = torch_modules()[1].ResNetForImageClassification(peer.config)
    whole.resnet.load_state_dict(peer.state_dict())
    whole.save_pretrained(tmp_path / "whole")
    sources = [tmp_path, tmp_path / "whole", tmp_path / "resnet18-False.pth", tmp_path / "resnet18-True.pth"]
    states = [nnx.state(load_resnet(str(source))) for source in sources]
    for state in states:
        assert_close(state, states[0], rtol=0)
    last, pooled = jax.jit(lambda image: (load_resnet(str(tmp_path)).map(image), network(image)))(image)
    np.testing.assert_allclose(last, expected.last_hidden_state.permute(0, 2, 3, 1), rtol=0, atol=1e-4)
    np.testing.assert_allclose(pooled, expected.pooler_output[:, :, 0, 0], rtol=0, atol=1e-4)
    assert expected.pooler_output.std() > 0.05
