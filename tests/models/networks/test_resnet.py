import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from resnets import random_network

from serjax.checkpoints.conversion import to_tensors
from serjax.checkpoints.resnet import load_resnet, save_resnet
from serjax.models.classifiers.video import VideoNet
from serjax.models.functional import abstract, count
from serjax.models.networks.resnet import ResNet18, normalize


def assert_close(got, want, **tolerance):
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


def test_parameters_are_as_many_as_the_seeds():
    assert count(nnx.state(abstract(lambda rngs: VideoNet(8, rngs=rngs)))) == 11_180_616
    assert count(nnx.state(abstract(lambda rngs: ResNet18(rngs=rngs)))) == 11_176_512


def test_published_pictures_have_mean_zero_and_deviation_one():
    colour = np.array([0.485, 0.456, 0.406]) * 255 + np.array([0.229, -0.224, 0]) * 255
    np.testing.assert_allclose(normalize(jnp.asarray(colour, jnp.float32)[None, None]), [[[1, -1, 0]]], atol=1e-5)
    whole = jnp.arange(256, dtype=jnp.uint8)[:, None, None] * jnp.ones((1, 1, 3), jnp.uint8)
    assert normalize(whole).dtype == jnp.float32
    np.testing.assert_array_equal(normalize(whole), normalize(whole.astype(jnp.float32)))


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
