import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from serjax.checkpoints.conversion import load_tensors, to_tensors
from serjax.models.layers.batch_norm import BatchNorm, column_mask, real_columns, strided


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(2, 3, shape), jnp.float32)


def made(features=4, **options):
    norm = BatchNorm(features, **options, rngs=nnx.Rngs(0))
    for seed, value in enumerate((norm.scale, norm.bias, norm.mean)):
        value[...] = normal(features, seed=seed)
    norm.var[...] = jnp.square(normal(features, seed=3)) + 0.1
    return norm


def statistics(norm):
    return [np.asarray(norm.mean[...]), np.asarray(norm.var[...])]


def test_masked_statistics_are_those_of_the_real_rows_alone():
    masked, alone, x = made(), made(), normal(5, 3, 6, 4)
    rows = jnp.array([True, False, True, True, False])
    spoilt = jnp.where(rows[:, None, None, None], x, jnp.nan)
    y = masked(spoilt, rows[:, None, None])
    expected = alone(x[rows], jnp.ones((3, 1, 1), bool))
    np.testing.assert_allclose(y[rows], expected, atol=1e-5)
    for got, want in zip(statistics(masked), statistics(alone), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5)


def test_columns_beyond_a_clip_do_not_count():
    norm, x = made(momentum=1.0), normal(2, 3, 6, 4)
    columns = strided(real_columns(jnp.zeros((2, 3, 12, 1)), jnp.array([7, 12]), None), 2)
    assert columns.tolist() == [4, 6]  # column 3 starts at frame 6, which is real
    norm(x, column_mask(x, columns))
    real = np.concatenate([x[0, :, :4].reshape(-1, 4), x[1].reshape(-1, 4)])
    np.testing.assert_allclose(norm.mean[...], real.mean(0), rtol=1e-5)
    np.testing.assert_allclose(norm.var[...], real.var(0, ddof=1), rtol=1e-5)


def test_rows_without_weight_have_no_columns():
    image = jnp.zeros((3, 2, 9, 1))
    assert real_columns(image, None, jnp.array([1.0, 0.0, 1.0])).tolist() == [9, 0, 9]
    assert real_columns(image, jnp.array([4, 5, 6]), jnp.array([0.0, 1.0, 1.0])).tolist() == [0, 5, 6]


def test_nothing_real_leaves_the_statistics_and_every_gradient_finite():
    norm, x = made(), normal(2, 3, 4)
    before = statistics(norm)
    graphdef, state = nnx.split(norm)

    def loss(state, x):
        module = nnx.merge(graphdef, state)
        return jnp.sum(jnp.sin(module(x, jnp.zeros((2, 1), bool)))), statistics_of(module)

    def statistics_of(module):
        return module.mean[...], module.var[...]

    gradient, after = jax.grad(loss, (0, 1), has_aux=True, allow_int=True)(state, x)
    for got, want in zip(after, before, strict=True):
        np.testing.assert_array_equal(got, want)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_statistics_are_float32_for_bfloat16():
    norm, x = made(), normal(4, 50, 4).astype(jnp.bfloat16)
    exact = made()
    y = norm(x, jnp.ones((4, 50), bool))
    exact(x.astype(jnp.float32), jnp.ones((4, 50), bool))
    assert y.dtype == jnp.bfloat16
    for got, want in zip(statistics(norm), statistics(exact), strict=True):
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, want)


def test_vmap_over_folds_is_a_loop():
    x, masks = normal(3, 2, 5, 4), jnp.arange(5) < jnp.array([[2, 5], [3, 1], [5, 5]])[..., None]
    graphdef, state = nnx.split(made())
    states = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf + 1, leaf * 2]), state)

    def step(state, x, mask):
        norm = nnx.merge(graphdef, state)
        return norm(x, mask), nnx.state(norm)

    together = jax.vmap(step)(states, x, masks)
    for fold in range(3):
        alone = step(jax.tree.map(lambda leaf, fold=fold: leaf[fold], states), x[fold], masks[fold])
        for got, want in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(got[fold], want, rtol=1e-5, atol=1e-5)


@pytest.mark.torch
@pytest.mark.parametrize("momentum", [0.1, 0.01])
def test_training_and_evaluation_are_pytorchs(momentum):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch = pytest.importorskip("torch")
    peer = torch.nn.BatchNorm2d(4, eps=1e-3, momentum=momentum)
    ours = made(epsilon=1e-3, momentum=momentum)
    peer.load_state_dict({key: torch.tensor(value) for key, value in to_tensors(ours).items()}, strict=True)
    for seed in range(2):
        x = normal(3, 2, 5, 4, seed=seed)
        nchw = torch.tensor(np.asarray(x)).permute(0, 3, 1, 2).requires_grad_()
        want = peer.train()(nchw)
        want.sin().sum().backward()
        gradient = jax.grad(lambda x: jnp.sum(jnp.sin(made_like(ours)(x, jnp.ones((1, 1, 1), bool)))))(x)
        np.testing.assert_allclose(gradient, nchw.grad.permute(0, 2, 3, 1), atol=1e-5)
        got = ours(x, jnp.ones((1, 1, 1), bool))
        np.testing.assert_allclose(got, want.detach().permute(0, 2, 3, 1), atol=1e-5)
    state = {key: value.numpy() for key, value in peer.state_dict().items()}
    for key, value in to_tensors(ours).items():
        if key != "num_batches_tracked":
            np.testing.assert_allclose(value, state[key], rtol=1e-5)
    np.testing.assert_allclose(ours(x), peer.eval()(nchw).detach().permute(0, 2, 3, 1), atol=1e-5)
    nnx.update(ours, load_tensors(ours, state, source="here"))


def made_like(norm):
    return nnx.merge(*nnx.split(norm), copy=True)
