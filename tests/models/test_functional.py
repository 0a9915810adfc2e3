"""Models as pure functions: names of parameters, casts, overlays, counts, and calls that change nothing outside."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from serjax.audio.mixup import Pairs
from serjax.models.functional import abstract, apply, cast, count, flat, logits_of, merge, overlay, path_name
from serjax.models.inputs import Inputs


class Small(nnx.Module):
    """Logits of a wave, with dropout, batch statistics and a list of layers."""

    def __init__(self, *, rngs):
        self.layers = nnx.List([nnx.Linear(4, 4, rngs=rngs), nnx.Linear(4, 2, rngs=rngs)])
        self.mean = nnx.BatchStat(jnp.zeros(4))

    def __call__(self, inputs, key=None, weight=None):
        x = self.layers[0](inputs.wave)
        if key is not None:
            weight = jnp.ones(len(x)) if weight is None else weight
            self.mean[...] = (weight[:, None] * x.astype(jnp.float32)).sum(0) / weight.sum()
            x = x + jax.random.normal(key, x.shape, x.dtype)
        return self.layers[1](x)


@pytest.fixture
def small():
    return nnx.split(Small(rngs=nnx.Rngs(0)), nnx.Param, ...)


WAVE = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
KEY = jax.random.key(0)


def test_flat_names_parameters_by_their_path(small):
    _, params, rest = small
    assert list(flat(params)) == ["layers.0.bias", "layers.0.kernel", "layers.1.bias", "layers.1.kernel"]
    assert list(flat(rest)) == ["mean"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (("encoder", "layers", 0, "kernel"), "encoder.layers.0.kernel"),
        ((jax.tree_util.DictKey("a"), jax.tree_util.GetAttrKey("value")), "a"),
        ((jax.tree_util.SequenceKey(3), jax.tree_util.GetAttrKey("b")), "3.b"),
    ],
)
def test_path_name_of_plain_paths_and_keys_of_trees(path, name):
    assert path_name(path) == name


def test_abstract_has_the_shapes_of_the_real_module():
    shapes = nnx.state(abstract(lambda rngs: Small(rngs=rngs)))
    real = nnx.state(Small(rngs=nnx.Rngs(0)))
    assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(shapes))
    assert jax.tree.structure(shapes) == jax.tree.structure(real)
    for shape, leaf in zip(jax.tree.leaves(shapes), jax.tree.leaves(real), strict=True):
        assert (shape.shape, shape.dtype) == (leaf.shape, leaf.dtype)


def test_count_leaves_out_batch_statistics(small):
    assert count(nnx.state(Small(rngs=nnx.Rngs(0)))) == (4 * 4 + 4) + (4 * 2 + 2)


def test_cast_keeps_batch_statistics_and_integers(small):
    _, params, rest = small
    low = cast({"params": params, "rest": rest, "number": jnp.arange(3)}, "bfloat16")
    assert {leaf.dtype for leaf in jax.tree.leaves(low["params"])} == {jnp.dtype("bfloat16")}
    assert {leaf.dtype for leaf in jax.tree.leaves(low["rest"])} == {jnp.dtype("float32")}
    assert low["number"].dtype == jnp.int32


def test_overlay_replaces_given_leaves_alone(small):
    _, params, _ = small
    given = nnx.from_flat_state([(("layers", 0, "bias"), nnx.Param(jnp.full(4, 7.0)))])
    found = flat(overlay(params, given))
    np.testing.assert_array_equal(found["layers.0.bias"], np.full(4, 7.0))
    for name, value in flat(params).items():
        if name != "layers.0.bias":
            np.testing.assert_array_equal(found[name], value)


def call(graphdef, params, frozen, inputs, key, dtype, weight=None):
    model = merge(graphdef, params, frozen, dtype)
    return apply(model, inputs, key, dtype, weight), nnx.state(model, nnx.BatchStat)


def test_call_without_key_equals_the_module_and_keeps_statistics(small):
    logits, stats = call(*small, Inputs(WAVE), None, "float32")
    np.testing.assert_allclose(logits, nnx.merge(*small)(Inputs(WAVE)), atol=1e-6)
    assert not flat(stats)["mean"].any()
    np.testing.assert_array_equal(logits_of(*small, Inputs(WAVE), None, "float32"), logits)


def test_call_with_key_returns_new_statistics_and_changes_nothing_given(small):
    before = [np.asarray(leaf) for leaf in jax.tree.leaves(small[1:])]
    weight = jnp.array([1.0, 0.0, 1.0])
    logits, stats = call(*small, Inputs(WAVE), KEY, "float32", weight)
    again, _ = call(*small, Inputs(WAVE), KEY, "float32", weight)
    np.testing.assert_array_equal(logits, again)
    first = nnx.merge(*small).layers[0](WAVE)
    np.testing.assert_allclose(flat(stats)["mean"], (first[0] + first[2]) / 2, atol=1e-6)
    for leaf, old in zip(jax.tree.leaves(small[1:]), before, strict=True):
        np.testing.assert_array_equal(leaf, old)


def test_call_in_bfloat16_returns_float32_logits_near_the_exact_ones(small):
    low = logits_of(*small, Inputs(WAVE), None, "bfloat16")
    exact = logits_of(*small, Inputs(WAVE), None, "float32")
    assert low.dtype == jnp.float32
    assert not np.array_equal(low, exact)
    np.testing.assert_allclose(low, exact, atol=0.05)


def test_call_keeps_the_shares_of_mixup_in_float32(small):
    seen = {}

    class Looking(Small):
        def __call__(self, inputs, key=None, weight=None):
            seen["wave"], seen["weight"] = inputs.wave.dtype, inputs.pairs.weight.dtype
            return super().__call__(inputs, key, weight)

    pairs = Pairs(jnp.array([0.3, 0.4, 0.5]), jnp.array([1, 2, 0]))
    parts = nnx.split(Looking(rngs=nnx.Rngs(0)), nnx.Param, ...)
    call(*parts, Inputs(jnp.asarray(WAVE), pairs=pairs), None, "bfloat16")
    assert seen == {"wave": jnp.float32, "weight": jnp.float32}
