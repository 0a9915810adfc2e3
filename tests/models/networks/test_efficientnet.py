import warnings
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from efficientnets import TINY
from flax import nnx

from serjax.checkpoints.conversion import load_tensors, to_tensors
from serjax.checkpoints.efficientnet import load_efficientnet
from serjax.models.networks.efficientnet import EfficientNet, EfficientNetConfig, from_dict
from serjax.runtime.errors import UserError


def images(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.fixture(scope="module")
def tiny():
    return nnx.split(EfficientNet(TINY, rngs=nnx.Rngs(0)), nnx.Param, nnx.BatchStat)


def step(graphdef, state, image, frames, weight, key):
    """Return gradients, and values with the new statistics."""

    def loss(params):
        network = nnx.merge(graphdef, params, state[1], copy=True)
        y = network(image, frames, weight, key)
        return jnp.mean(jnp.sin(y)), (y, nnx.state(network, nnx.BatchStat))

    return jax.grad(loss, has_aux=True)(state[0])


jitted_step = jax.jit(step, static_argnums=0)
SHAPE, FRAMES, ONES = (3, 32, 41, 1), jnp.full(3, 41), jnp.ones(3)
KEY = jax.random.key(0)


def assert_close(got, want, **tolerance):
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


def test_b0_has_the_published_parameters():
    network = nnx.eval_shape(lambda: EfficientNet(EfficientNetConfig(), rngs=nnx.Rngs(0)))
    # As published, 5,288,548 with the head for 1000 classes.
    assert sum(leaf.size for leaf in jax.tree.leaves(nnx.state(network, nnx.Param))) == 5_288_548 - 1_281_000


@pytest.mark.slow
def test_what_fill_up_rows_hold_changes_no_statistic(tiny):
    graphdef, *state = tiny
    image, weight = images(*SHAPE), jnp.array([1.0, 1.0, 0.0])
    found = [jitted_step(graphdef, state, image, FRAMES, weight, KEY)[1][1]]
    found += [jitted_step(graphdef, state, image.at[2].set(9.0), FRAMES, w, KEY)[1][1] for w in (weight, ONES)]
    assert_close(found[0], found[1], rtol=1e-6)
    assert all_differ(found[1], found[2])


@pytest.mark.slow
def test_every_norm_leaves_padding_out(tiny):
    graphdef, *state = tiny
    found = [jitted_step(graphdef, state, images(*SHAPE), frames, ONES, KEY)[1][1] for frames in (FRAMES, FRAMES // 3)]
    assert all_differ(*found)
    without = jitted_step(graphdef, state, images(*SHAPE), None, None, KEY)[1][1]
    assert_close(found[0], without, rtol=1e-5, atol=1e-6)


def all_differ(*trees):
    return all(not np.allclose(a, b, rtol=1e-4) for a, b in zip(*map(jax.tree.leaves, trees), strict=True))


@pytest.mark.parametrize("batch", [5, 6, 8])
def test_each_clip_of_a_batch_is_answered_as_alone(tiny, batch):
    network, image = jax.jit(nnx.merge(*tiny, copy=True)), images(batch, 16, 24, 1)
    np.testing.assert_allclose(network(image)[-1:], network(image[-1:]), rtol=1e-4, atol=1e-6)


def test_without_a_key_nothing_is_drawn_and_masks_are_ignored(tiny):
    network, image = nnx.merge(*tiny, copy=True), images(2, 16, 24, 1)
    before = nnx.to_pure_dict(nnx.state(network))
    assert (network(image) == network(image, jnp.array([3, 24]), jnp.array([1.0, 0.0]))).all()
    assert_close(nnx.state(network), before, rtol=0)


def test_drop_connect_leaves_out_whole_branches_and_keeps_the_mean():
    config = replace(TINY, drop_connect_rate=0.9)
    graphdef, state = nnx.split(EfficientNet(config, rngs=nnx.Rngs(0)))
    block = nnx.merge(graphdef, state).encoder.blocks[-1]
    assert block.block.residual
    x = images(2000, 2, 2, block.block.inputs)
    columns = jnp.full(2000, 2)
    # The branch in training, where nothing is dropped.
    branch = np.asarray(block(x, columns, None) - x)
    dropped = np.asarray(block(x, columns, jax.random.key(1)) - x)
    kept = np.abs(dropped).max((1, 2, 3)) > 0
    assert abs(kept.mean() - (1 - block.block.drop)) < 0.05
    np.testing.assert_allclose(dropped[kept], branch[kept] / (1 - block.block.drop), rtol=1e-3, atol=1e-4)


def test_gradients_are_finite_and_reach_every_parameter(tiny):
    graphdef, *state = tiny
    gradient, _ = jitted_step(graphdef, state, images(*SHAPE), FRAMES, ONES, KEY)
    for path, leaf in nnx.to_flat_state(gradient):
        assert jnp.isfinite(leaf[...]).all(), path
        assert jnp.abs(leaf[...]).max() > 0, path


@pytest.mark.slow
def test_vmap_over_folds_is_a_loop(tiny):
    graphdef, *state = tiny
    image, frames = images(2, *SHAPE), jnp.array([[41, 9, 3], [20, 41, 41]])
    folds = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf * 1.1]), state)
    arguments = folds, image, frames, jnp.ones((2, 3)), jax.random.split(KEY, 2)
    together = jax.jit(jax.vmap(partial(step, graphdef)))(*arguments)
    for fold in range(2):
        alone = jitted_step(graphdef, *jax.tree.map(lambda leaf, fold=fold: leaf[fold], arguments))
        one = jax.tree.map(lambda leaf, fold=fold: leaf[fold], together)
        assert_close(one, alone, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"strides": [1, 2]}, "differ in length"),
        ({"hidden_dim": 2560}, "hidden_dim is 2560; width_coefficient makes 1280"),
    ],
)
def test_a_config_that_cannot_be_used_is_refused(entry, message):
    with pytest.raises(UserError, match=message):
        from_dict({"model_type": "efficientnet", **entry}, "here")


def reference(config, seed=0):
    """Return transformers' network with weights and running statistics that hide no mistake, and PyTorch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch = pytest.importorskip("torch")
        transformers = pytest.importorskip("transformers")
    entries = {key: getattr(config, key) for key in config.__dataclass_fields__}
    model = transformers.EfficientNetModel(transformers.EfficientNetConfig(**entries))
    generator = torch.Generator().manual_seed(seed)
    for key, value in model.state_dict().items():
        noise = torch.randn(value.shape, generator=generator)
        if value.ndim > 1:
            value.copy_(1.4 * noise / value[0].numel() ** 0.5)
        elif key.endswith("running_var"):
            value.copy_(1 + 0.4 * noise.tanh())
        elif value.ndim == 1:
            value.copy_(key.endswith("weight") + 0.2 * noise)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1 - config.batch_norm_momentum  # transformers takes TensorFlow's number for PyTorch's
    return torch, model


CONFIGS = {
    "B0": (EfficientNetConfig(), (1, 64, 75, 3)),
    "tiny": (TINY, (2, 32, 41, 1)),
    "square padding, deeper": (replace(TINY, depthwise_padding=(2,), depth_coefficient=1.4), (2, 32, 41, 1)),
}


@pytest.mark.torch
@pytest.mark.parametrize("name", CONFIGS)
def test_evaluation_is_that_of_transformers(tmp_path, name):
    config, shape = CONFIGS[name]
    torch, model = reference(config)
    model.eval().save_pretrained(tmp_path)
    ours, image = load_efficientnet(str(tmp_path), channels=config.num_channels), images(*shape)
    with torch.no_grad():
        expected = model(torch.tensor(np.asarray(image)).permute(0, 3, 1, 2))
    last, pooled = jax.jit(lambda image: (ours.map(image), ours(image)))(image)
    np.testing.assert_allclose(last, expected.last_hidden_state.permute(0, 2, 3, 1), rtol=0, atol=1e-4)
    np.testing.assert_allclose(pooled, expected.pooler_output, rtol=0, atol=1e-4)
    assert expected.pooler_output.std() > 0.05
    model.load_state_dict({key: torch.tensor(value) for key, value in to_tensors(ours).items()}, strict=True)


@pytest.mark.torch
def test_the_encoder_of_an_image_classifier(tmp_path):
    torch, model = reference(TINY)
    import transformers

    whole = transformers.EfficientNetForImageClassification(model.config)
    whole.efficientnet.load_state_dict(model.state_dict())
    whole.save_pretrained(tmp_path)
    image = images(1, 32, 32, 1)
    with torch.no_grad():
        expected = model.eval()(torch.tensor(np.asarray(image)).permute(0, 3, 1, 2)).pooler_output
    np.testing.assert_allclose(jax.jit(load_efficientnet(str(tmp_path)))(image), expected, rtol=0, atol=1e-4)


@pytest.mark.torch
def test_one_training_step_is_that_of_transformers():
    torch, model = reference(TINY)
    ours = EfficientNet(TINY, rngs=nnx.Rngs(0))
    nnx.update(ours, load_tensors(ours, {key: v.numpy() for key, v in model.state_dict().items()}, source="here"))
    graphdef, *state = nnx.split(ours, nnx.Param, nnx.BatchStat)
    image = images(*SHAPE)
    gradient, (y, after) = jitted_step(graphdef, state, image, FRAMES, ONES, KEY)
    expected = model.train()(torch.tensor(np.asarray(image)).permute(0, 3, 1, 2)).pooler_output
    expected.sin().mean().backward()
    np.testing.assert_allclose(y, expected.detach(), rtol=0, atol=1e-4)
    nnx.update(ours, after)
    state = model.state_dict()
    for key, found in to_tensors(ours).items():
        if "running" in key:
            np.testing.assert_allclose(found, state[key], rtol=1e-4, atol=1e-4)
    nnx.update(ours, gradient)
    found = to_tensors(ours)
    for key, parameter in model.named_parameters():
        scale = float(parameter.grad.abs().max()) + 1e-4
        np.testing.assert_allclose(found[key], parameter.grad, rtol=0, atol=1e-3 * scale, err_msg=key)
