import warnings
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from serjax.checkpoints.conversion import load_tensors, to_tensors
from serjax.models.functional import abstract
from serjax.models.layers.image import adaptive_average, max_pool
from serjax.models.networks.audio_cnn import AudioCNN, AudioResNet18

NETWORKS = [AudioCNN, AudioResNet18]


def images(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def made(network):
    return network(8, rngs=nnx.Rngs(0))


@pytest.mark.parametrize(("network", "count"), [(AudioCNN, 155_752), (AudioResNet18, 12_785_224)])
def test_parameters_are_as_many_as_the_seeds(network, count):
    params = nnx.state(abstract(lambda rngs: network(8, rngs=rngs)), nnx.Param)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count


def step(graphdef, state, image, frames, weight):
    """Return gradients, and values with the new statistics."""

    def loss(params):
        network = nnx.merge(graphdef, params, state[1], copy=True)
        y = network(image, frames, weight, jax.random.key(0))
        return jnp.sum(jnp.sin(y)), (y, nnx.state(network, nnx.BatchStat))

    return jax.grad(loss, has_aux=True)(state[0])


jitted_step = jax.jit(step, static_argnums=0)
SHAPE, FRAMES, ONES = (3, 64, 20, 1), jnp.full(3, 20), jnp.ones(3)


@pytest.mark.parametrize("network", NETWORKS)
def test_statistics_are_those_of_real_rows_and_columns(network):
    graphdef, *state = nnx.split(made(network), nnx.Param, nnx.BatchStat)
    image, weight = images(*SHAPE), jnp.array([1.0, 1.0, 0.0])
    spoilt = image.at[2].set(9.0)
    arguments = [(image, FRAMES, weight), (spoilt, FRAMES, weight), (spoilt, FRAMES, ONES), (image, FRAMES // 3, ONES)]
    found = [jax.tree.leaves(jitted_step(graphdef, state, *given)[1][1]) for given in arguments]
    for first, second, third, fourth in zip(*found, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)
        assert not np.allclose(second, third, rtol=1e-4)
        assert not np.allclose(first, fourth, rtol=1e-4)


@pytest.mark.slow
def test_vmap_over_folds_is_a_loop():
    graphdef, *state = nnx.split(made(AudioCNN), nnx.Param, nnx.BatchStat)
    folds = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf * 1.1]), state)
    arguments = folds, images(2, *SHAPE), jnp.array([[20, 9, 3], [20, 20, 7]]), jnp.ones((2, 3))
    together = jax.jit(jax.vmap(partial(step, graphdef)))(*arguments)
    for fold in range(2):
        alone = jitted_step(graphdef, *jax.tree.map(lambda leaf, fold=fold: leaf[fold], arguments))
        for got, want in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(got[fold], want, rtol=1e-3, atol=1e-4)


def test_evaluation_ignores_masks_and_changes_nothing():
    network, image = made(AudioCNN), images(2, 64, 20, 1)
    assert (network(image) == network(image, jnp.array([3, 20]), jnp.array([0.0, 1.0]))).all()
    np.testing.assert_array_equal(network.norms[0].mean[...], 0)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_sequence_is_what_the_head_sees_of_each_column(network):
    net, image, frames = made(network), images(2, 64, 75, 1), jnp.array([75, 40])
    sequence, counts = net.sequence(image, frames)
    columns = net.map(image, None)
    assert sequence.shape == (2, columns.shape[2], 128)
    assert counts.tolist() == {4: [18, 10], 32: [3, 2]}[net.stride]
    for place in range(columns.shape[2]):
        alone = jnp.repeat(columns[:, :, place : place + 1], 8, axis=2)
        np.testing.assert_allclose(sequence[:, place], net.pool(alone), rtol=1e-4, atol=1e-4)


def test_the_sequences_of_the_resnet_average_to_its_features():
    net, image = made(AudioResNet18), images(2, 64, 75, 1)
    sequence, _ = net.sequence(image, jnp.array([75, 75]))
    np.testing.assert_allclose(sequence.mean(1), net.features(image), rtol=1e-4, atol=1e-5)


def torch_module():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("torch")


def peer_of(network, torch):
    nn = torch.nn
    if network is AudioCNN:
        peer = nn.Module()
        widths = (1, 16, 32, 64)
        peer.convs = nn.ModuleList([nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths)])
        peer.norms = nn.ModuleList([nn.BatchNorm2d(b) for b in widths[1:]])
        peer.fc1, peer.fc2 = nn.Linear(1024, 128), nn.Linear(128, 8)

        def forward(x):
            for index in range(3):
                x = peer.norms[index](peer.convs[index](x)).relu()
                x = nn.functional.max_pool2d(x, 2) if index < 2 else x
            return peer.fc2(peer.fc1(nn.functional.adaptive_avg_pool2d(x, 4).flatten(1)).relu())

        return peer, forward

    def block(width):
        names = {"conv1": nn.Conv2d(width, width, 3, padding=1, bias=False), "bn1": nn.BatchNorm2d(width)}
        names |= {"relu": nn.ReLU(), "conv2": nn.Conv2d(width, width, 3, padding=1, bias=False)}
        result = nn.Sequential()
        for name, module in {**names, "bn2": nn.BatchNorm2d(width)}.items():
            result.add_module(name, module)
        return result

    peer = nn.Module()
    widths = (64, 128, 256, 512)
    peer.conv1, peer.bn1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
    peer.down_convs = nn.ModuleList([nn.Conv2d(width // 2, width, 1, 2, bias=False) for width in widths[1:]])
    peer.down_norms = nn.ModuleList([nn.BatchNorm2d(width) for width in widths[1:]])
    peer.layers = nn.ModuleList([nn.ModuleList([block(width), block(width)]) for width in widths])
    peer.fc1, peer.fc2 = nn.Linear(512, 128), nn.Linear(128, 8)

    def forward(x):
        x = nn.functional.max_pool2d(peer.bn1(peer.conv1(x)).relu(), 3, 2, 1)
        for stage in range(4):
            if stage:
                x = peer.down_norms[stage - 1](peer.down_convs[stage - 1](x))
            for layer in peer.layers[stage]:
                x = layer(x)
        return peer.fc2(peer.fc1(x.mean((2, 3))))

    return peer, forward


@pytest.mark.torch
@pytest.mark.parametrize("network", NETWORKS)
def test_training_and_evaluation_are_those_of_the_same_layers_in_pytorch(network):
    torch = torch_module()
    torch.manual_seed(0)
    peer, forward = peer_of(network, torch)
    for module in peer.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.uniform_(-0.5, 0.5)
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 1.5)
    ours = abstract(lambda rngs: network(8, rngs=rngs))
    state = {key: value.numpy().copy() for key, value in peer.state_dict().items()}
    nnx.update(ours, load_tensors(ours, state, source="here"))
    image = images(3, 64, 45, 1)
    nchw = torch.tensor(np.asarray(image)).permute(0, 3, 1, 2)
    with torch.no_grad():
        np.testing.assert_allclose(ours(image), peer.eval() and forward(nchw), rtol=0, atol=1e-4)
        expected = peer.train() and forward(nchw)
    np.testing.assert_allclose(ours(image, key=jax.random.key(0)), expected, rtol=0, atol=1e-4)
    found = to_tensors(ours)
    for key, value in peer.state_dict().items():
        if "running" in key:
            np.testing.assert_allclose(found[key], value, rtol=1e-4, atol=1e-4, err_msg=key)


@pytest.mark.torch
@pytest.mark.parametrize("shape", [(16, 75), (4, 4), (3, 9), (7, 2)])
def test_windows_are_pytorchs(shape):
    torch = torch_module()
    x = images(2, *shape, 3)
    nchw = torch.tensor(np.asarray(x)).permute(0, 3, 1, 2)
    pooled = torch.nn.functional.adaptive_avg_pool2d(nchw, 4).permute(0, 2, 3, 1)
    np.testing.assert_allclose(adaptive_average(x, 4), pooled, atol=1e-5)
    for size, padding in ((2, 0), (3, 1)):
        pooled = torch.nn.functional.max_pool2d(nchw, size, 2, padding).permute(0, 2, 3, 1)
        np.testing.assert_array_equal(max_pool(x, size, padding=padding), pooled)
