"""The second witness: transformers 4.57, the last release with Flax classes, and its own conversion from PyTorch."""

import warnings
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx, traverse_util

from serjax.checkpoints.conversion import load_tensors, to_tensors
from serjax.checkpoints.huggingface import load_encoder
from serjax.models.encoders.wav2vec2 import SpeechEncoder
from serjax.models.encoders.wav2vec2_config import Wav2Vec2Config
from serjax.models.functional import abstract

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    reason = "transformers has Flax classes up to 4.57 only; install serjax[hf-flax] in an environment of its own"
    conversion = pytest.importorskip("transformers.modeling_flax_pytorch_utils", reason=reason)
    flax_models = pytest.importorskip("transformers.models.wav2vec2.modeling_flax_wav2vec2", reason=reason)
    from transformers import Wav2Vec2Config as PeersConfig

# These classes are older than the jax and flax beneath them, and warn of it.
pytestmark = [pytest.mark.hf_flax, pytest.mark.filterwarnings("default")]

TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "conv_dim": (16, 24, 16),
    "conv_kernel": (10, 3, 2),
    "conv_stride": (5, 2, 2),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
LAYER = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
CLASSES = {
    "FlaxWav2Vec2Model": (),
    "FlaxWav2Vec2ForCTC": ("lm_head",),
    "FlaxWav2Vec2ForPreTraining": ("project_hid", "project_q", "quantizer"),
}


def random_tensors(encoder, spelling):
    """Return weights as PyTorch's state dict has them, with weight norm in either spelling."""
    rng = np.random.default_rng(0)
    tensors = {}
    for key, value in to_tensors(encoder).items():
        if spelling == "weight_g":
            key = key.replace("parametrizations.weight.original0", "weight_g")
            key = key.replace("parametrizations.weight.original1", "weight_v")
        tensors[key] = rng.normal(size=value.shape).astype(np.float32)
    return tensors


def leaves(module):
    """Return a module's leaves by path, weight norm laid out as PyTorch and transformers' Flax classes have it."""
    found = {}
    for path, variable in nnx.to_flat_state(nnx.state(module, nnx.Param)):
        turned = path[-1] in ("weight_g", "weight_v")
        found[tuple(map(str, path))] = variable[...].T if turned else variable[...]
    return found


@pytest.mark.parametrize("spelling", ["weight_g", "parametrizations"])
@pytest.mark.parametrize("family", ["hubert", "wav2vec2"])
@pytest.mark.parametrize("prefixed", [False, True])
@pytest.mark.parametrize("layout", [{}, {"conv_bias": True}, LAYER, {**LAYER, "conv_bias": True}])
def test_our_conversion_is_theirs(spelling, family, prefixed, layout):
    config = Wav2Vec2Config(model_type=family, **TINY, **layout)
    tensors = random_tensors(SpeechEncoder(config, rngs=nnx.Rngs(0)), spelling)
    if prefixed:
        tensors = {f"{family}.{key}": value for key, value in tensors.items()}
    ours = abstract(lambda rngs: SpeechEncoder(config, rngs=rngs))
    nnx.update(ours, load_tensors(ours, tensors, source="here", prefix=f"{family}." if prefixed else ""))
    target = SimpleNamespace(params=traverse_util.unflatten_dict(leaves(ours)), base_model_prefix=family)
    expected = conversion.convert_pytorch_state_dict_to_flax(dict(tensors), target)
    expected = traverse_util.flatten_dict(expected)
    assert leaves(ours).keys() == expected.keys()
    for path, value in leaves(ours).items():
        np.testing.assert_array_equal(value, expected[path], err_msg="/".join(path))


def test_their_own_parameters_have_our_paths_and_shapes():
    model = flax_models.FlaxWav2Vec2Model(PeersConfig(**TINY, **LAYER, conv_bias=True), input_shape=(1, 1000))
    config = Wav2Vec2Config(model_type="wav2vec2", **TINY, **LAYER, conv_bias=True)
    ours = leaves(SpeechEncoder(config, rngs=nnx.Rngs(0)))
    peers = traverse_util.flatten_dict(model.params)
    assert {path: value.shape for path, value in ours.items()} == {path: value.shape for path, value in peers.items()}


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("safe", [False, True], ids=["msgpack", "safetensors"])
def test_what_a_flax_model_saves_gives_its_hidden_states(tmp_path, name, safe):
    config = PeersConfig(**TINY, **LAYER, conv_bias=True, codevector_dim=8, mask_time_prob=0.05)
    model = getattr(flax_models, name)(config, input_shape=(1, 1000))
    flat, structure = jax.tree.flatten(model.params)
    keys = jax.random.split(jax.random.key(0), len(flat))
    noise = [0.3 * jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, flat, strict=True)]
    model.params = jax.tree.unflatten(structure, [leaf + part for leaf, part in zip(flat, noise, strict=True)])
    model.save_pretrained(tmp_path, safe_serialization=safe)
    assert (tmp_path / "flax_model.msgpack").is_file() is not safe
    loaded = load_encoder(str(tmp_path))
    assert any("also holds " + ", ".join(CLASSES[name]) in note for note in loaded.notes) is bool(CLASSES[name])
    wave = np.random.default_rng(0).normal(size=(2, 3000)).astype(np.float32)
    trunk = flax_models.FlaxWav2Vec2Model(config, input_shape=(1, 1000), _do_init=False)
    params = model.params["wav2vec2"] if CLASSES[name] else model.params
    output = trunk(jnp.array(wave), params=params, output_hidden_states=True)
    mine = loaded.encoder(wave, jnp.array([3000, 3000]))
    assert len(mine.hidden_states) == len(output.hidden_states)
    for state, other in zip(mine.hidden_states, output.hidden_states, strict=True):
        np.testing.assert_allclose(state, other, rtol=0, atol=1e-4)
