import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.checkpoints.conversion import load_tensors, to_tensors
from serjax.models.functional import abstract
from serjax.runtime.errors import UserError


class WeightNorm(nnx.Module):
    def __init__(self):
        self.weight_g = nnx.Param(jnp.arange(5.0).reshape(5, 1, 1))
        self.weight_v = nnx.Param(jnp.arange(5.0 * 2 * 6).reshape(5, 2, 6))


class Model(nnx.Module):
    """One of each layer that has a rule, with all values different."""

    def __init__(self, rngs):
        self.scale = nnx.Param(jnp.ones((3, 4)))
        self.layers = nnx.List(
            [
                nnx.Linear(3, 4, rngs=rngs),
                nnx.Conv(4, 6, 5, feature_group_count=2, padding="VALID", rngs=rngs),
                nnx.Conv(6, 8, (2, 3), use_bias=False, padding="VALID", rngs=rngs),
                nnx.LayerNorm(8, epsilon=1e-5, rngs=rngs),
                nnx.GroupNorm(8, num_groups=2, epsilon=1e-5, rngs=rngs),
                nnx.BatchNorm(8, rngs=rngs),
                nnx.Embed(7, 8, rngs=rngs),
            ]
        )
        self.weight_normed = WeightNorm()


SHAPES = {
    "scale": (3, 4),
    "layers.0.weight": (4, 3),
    "layers.0.bias": (4,),
    "layers.1.weight": (6, 2, 5),
    "layers.1.bias": (6,),
    "layers.2.weight": (8, 6, 2, 3),
    "layers.3.weight": (8,),
    "layers.3.bias": (8,),
    "layers.4.weight": (8,),
    "layers.4.bias": (8,),
    "layers.5.weight": (8,),
    "layers.5.bias": (8,),
    "layers.5.running_mean": (8,),
    "layers.5.running_var": (8,),
    "layers.5.num_batches_tracked": (),
    "layers.6.weight": (7, 8),
    "weight_normed.parametrizations.weight.original0": (1, 1, 5),
    "weight_normed.parametrizations.weight.original1": (6, 2, 5),
}


def random_tensors(seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return {key: rng.normal(size=shape).astype(dtype) for key, shape in SHAPES.items() if "num_batches" not in key}


def loaded(tensors, **options):
    model = abstract(lambda rngs: Model(rngs))
    nnx.update(model, load_tensors(model, tensors, source="here", **options))
    return model


def test_names_and_shapes_are_pytorchs():
    assert {key: value.shape for key, value in to_tensors(Model(nnx.Rngs(0))).items()} == SHAPES


def test_leaves_lie_as_the_rule_says():
    tensors = random_tensors()
    model = loaded(tensors)
    layers = model.layers
    np.testing.assert_array_equal(layers[0].kernel[...], tensors["layers.0.weight"].T)
    np.testing.assert_array_equal(layers[1].kernel[...], tensors["layers.1.weight"].transpose(2, 1, 0))
    np.testing.assert_array_equal(layers[2].kernel[...], tensors["layers.2.weight"].transpose(2, 3, 1, 0))
    np.testing.assert_array_equal(layers[3].scale[...], tensors["layers.3.weight"])
    np.testing.assert_array_equal(layers[5].mean[...], tensors["layers.5.running_mean"])
    np.testing.assert_array_equal(layers[5].var[...], tensors["layers.5.running_var"])
    np.testing.assert_array_equal(layers[6].embedding[...], tensors["layers.6.weight"])
    np.testing.assert_array_equal(model.scale[...], tensors["scale"])
    direction = tensors["weight_normed.parametrizations.weight.original1"]
    np.testing.assert_array_equal(model.weight_normed.weight_v[...], direction.transpose(2, 1, 0))


@given(seed=st.integers(0, 1000), prefix=st.sampled_from(["", "hubert.", "a.b."]))
@settings(max_examples=5)
def test_out_undoes_in(seed, prefix):
    tensors = {prefix + key: value for key, value in random_tensors(seed).items()}
    written = to_tensors(loaded(tensors, prefix=prefix), prefix)
    assert written.pop(f"{prefix}layers.5.num_batches_tracked") == 0
    assert written.keys() == tensors.keys()
    for key, value in tensors.items():
        np.testing.assert_array_equal(written[key], value)


@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16, np.float64])
def test_any_float_becomes_the_models_dtype(dtype):
    tensors = random_tensors(dtype=dtype)
    kernel = loaded(tensors).layers[0].kernel[...]
    assert kernel.dtype == jnp.float32
    np.testing.assert_array_equal(kernel, tensors["layers.0.weight"].T.astype(np.float32))


def test_weights_are_copied_out_of_what_was_read():
    tensors = random_tensors()
    model = loaded(tensors)
    before = np.array(model.scale[...])
    tensors["scale"][:] = 7
    np.testing.assert_array_equal(model.scale[...], before)


def test_weights_loaded_in_a_trace_are_those_of_the_file():
    tensors = random_tensors()
    traced = jax.jit(lambda: nnx.state(loaded(tensors)))()
    jax.tree.map(np.testing.assert_array_equal, traced, nnx.state(loaded(tensors)))


def test_the_older_spelling_of_weight_norm_is_read():
    tensors = random_tensors()
    older = {
        key.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): value
        for key, value in tensors.items()
    }
    assert older.keys() != tensors.keys()
    for new, old in zip(jax.tree.leaves(loaded(tensors)), jax.tree.leaves(loaded(older)), strict=True):
        np.testing.assert_array_equal(new, old)


def test_everything_that_does_not_fit_is_named_at_once():
    tensors = random_tensors()
    del tensors["layers.0.bias"], tensors["layers.6.weight"]
    tensors |= {"layers.7.weight": np.zeros(1), "weight_normed.weight_g": np.zeros((1, 1, 5))}
    tensors |= {"scale": np.zeros((4, 3)), "layers.3.bias": np.zeros(8, np.int8)}
    with pytest.raises(UserError) as raised:
        loaded(tensors)
    head, *lines = str(raised.value).splitlines()
    assert head.startswith(
        "here: the weights do not fit the model (2 missing, 2 left over, 2 of another shape or kind)"
    )
    assert sorted(lines) == [
        "left over: layers.7.weight",
        "left over: weight_normed.weight_g",
        "misfit: layers.3.bias is int8 (8,), but the model needs floats (8,)",
        "misfit: scale is float64 (4, 3), but the model needs floats (3, 4)",
        "missing: layers.0.bias",
        "missing: layers.6.weight",
    ]


def test_listed_keys_may_be_missing_or_left_over_and_no_others():
    tensors = random_tensors()
    del tensors["scale"], tensors["layers.0.bias"]
    tensors |= {"classifier.weight": np.zeros(1), "my_classifier.weight": np.zeros(1)}
    options = {"allow_missing": ["scale"], "allow_extra": [r"classifier\..*"]}
    with pytest.raises(UserError) as raised:
        loaded(tensors, **options)
    assert str(raised.value).splitlines()[1:] == ["missing: layers.0.bias", "left over: my_classifier.weight"]
    model = abstract(lambda rngs: Model(rngs))
    tensors |= {"layers.0.bias": np.zeros(4)}
    del tensors["my_classifier.weight"]
    assert "scale" not in load_tensors(model, tensors, source="here", **options)


def test_keys_outside_the_prefix_are_left_over():
    tensors = {f"hubert.{key}": value for key, value in random_tensors().items()} | {"scale": np.zeros((3, 4))}
    with pytest.raises(UserError, match=r"left over: scale$"):
        loaded(tensors, prefix="hubert.")


def test_a_layer_without_a_rule_is_refused():
    attention = nnx.MultiHeadAttention(2, 4, rngs=nnx.Rngs(0), decode=False)
    with pytest.raises(TypeError, match="LinearGeneral"):
        to_tensors(attention)


def test_abstract_is_the_same_module_without_values():
    make = nnx.eval_shape(lambda: Model(nnx.Rngs(0)))
    ours = abstract(lambda rngs: Model(rngs))
    assert jax.tree.leaves(nnx.state(ours)) == jax.tree.leaves(nnx.state(make))
    assert jax.tree.structure(nnx.state(ours)) == jax.tree.structure(nnx.state(make))


@pytest.mark.torch
def test_layers_compute_what_pytorchs_compute():
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(0)
    peers = torch.nn.ModuleList(
        [
            torch.nn.Linear(3, 4),
            torch.nn.Conv1d(4, 6, 5, groups=2),
            torch.nn.Conv2d(6, 8, (2, 3), bias=False),
            torch.nn.LayerNorm(8),
            torch.nn.GroupNorm(2, 8),
            torch.nn.BatchNorm2d(8, eps=1e-5),
            torch.nn.Embedding(7, 8),
        ]
    ).eval()
    state = peers.state_dict()
    for value in state.values():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=generator) + 0.1)
    tensors = {key: value.numpy().copy() for key, value in state.items()}
    ours = abstract(lambda rngs: Model(rngs)).layers
    nnx.update(ours, load_tensors(ours, tensors, source="here"))
    x = np.random.default_rng(0).normal(size=(2, 9, 10, 6)).astype(np.float32)

    def compare(mine, peer):
        np.testing.assert_allclose(mine, peer.detach().numpy(), rtol=1e-5, atol=1e-5)

    compare(ours[0](x[..., :3]), peers[0](torch.tensor(x[..., :3])))
    series = torch.tensor(x[:, 0, :, :4]).mT
    compare(ours[1](x[:, 0, :, :4]), peers[1](series).mT)
    image = ours[2](x)
    peer_image = peers[2](torch.tensor(x).permute(0, 3, 1, 2))
    compare(image, peer_image.permute(0, 2, 3, 1))
    compare(ours[3](image), peers[3](peer_image.permute(0, 2, 3, 1)))
    compare(ours[4](image), peers[4](peer_image).permute(0, 2, 3, 1))
    compare(ours[5](image, use_running_average=True), peers[5](peer_image).permute(0, 2, 3, 1))
    compare(ours[6](jnp.arange(7)), peers[6](torch.arange(7)))
    peers.load_state_dict({key: torch.tensor(value) for key, value in to_tensors(ours).items()}, strict=True)
    for key, value in peers.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), tensors[key])
