import gc
import json
import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from serjax.checkpoints.conversion import to_tensors
from serjax.checkpoints.formats.tensors import read_tensors, write_tensors
from serjax.checkpoints.huggingface import load_encoder, read_checkpoint, save_pretrained
from serjax.checkpoints.preprocessor import Preprocessor
from serjax.models.encoders.build import build_encoder
from serjax.models.encoders.config import preset
from serjax.models.encoders.families import FAMILIES
from serjax.runtime.errors import UserError

CONFIGS = {
    "hubert": {},
    "wav2vec2": {"model_type": "wav2vec2"},
    "layer_norm": {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True},
    "no_projection_norm": {"feat_proj_layer_norm": False},
    "unmasked": {"mask_time_prob": 0.0},
}


@pytest.fixture(scope="module")
def random_encoder(tiny_encoder):
    """A function that returns an encoder in which no two leaves are alike, norms and biases included."""

    def draw(changes=None, seed=0):
        encoder = build_encoder(replace(tiny_encoder, **(changes or {})), rngs=nnx.Rngs(seed))
        leaves, structure = jax.tree.flatten(nnx.state(encoder))
        keys = jax.random.split(jax.random.key(seed), len(leaves))
        values = [jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)]
        nnx.update(encoder, jax.tree.unflatten(structure, values))
        return encoder

    return draw


@pytest.fixture
def saved(tmp_path, random_encoder):
    """Return a directory as save_pretrained writes it."""
    save_pretrained(random_encoder(), tmp_path, preprocessor=Preprocessor())
    return tmp_path


def edit(path, **changes):
    """Change values of a JSON file; None deletes."""
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))


def assert_same_weights(one, other):
    expected = to_tensors(other)
    for key, value in to_tensors(one).items():
        np.testing.assert_array_equal(value, expected[key], err_msg=key)


def test_float16_halves_the_file_and_is_read_into_float32(tmp_path, random_encoder):
    encoder = random_encoder()
    save_pretrained(encoder, tmp_path, preprocessor=Preprocessor(), dtype="float16")
    written, loaded = read_tensors(tmp_path), to_tensors(load_encoder(str(tmp_path)).encoder)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "float32"
    for key, value in to_tensors(encoder).items():
        assert written[key].dtype == np.float16
        assert loaded[key].dtype == np.float32
        np.testing.assert_array_equal(loaded[key], value.astype(np.float16).astype(np.float32), err_msg=key)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("prefix", ["", "family."])
def test_what_is_saved_is_loaded(tmp_path, name, prefix, random_encoder):
    encoder = random_encoder(CONFIGS[name])
    if prefix:
        prefix = FAMILIES[encoder.config.model_type].prefix
    preprocessor = Preprocessor(normalize=False, return_attention_mask=True)
    save_pretrained(encoder, tmp_path, preprocessor=preprocessor, prefix=prefix)
    loaded = load_encoder(str(tmp_path))
    assert loaded.encoder.config == encoder.config
    assert loaded.preprocessor == preprocessor
    assert loaded.notes == ()
    if name == "unmasked":  # transformers has no such parameter then, and would call it unexpected
        assert not any("masked_spec_embed" in key for key in read_tensors(tmp_path))
        assert not loaded.encoder.masked_spec_embed[...].any()
        loaded.encoder.masked_spec_embed = encoder.masked_spec_embed
    assert_same_weights(loaded.encoder, encoder)


def test_a_loaded_encoder_runs_and_holds_arrays_alone(saved, random_encoder):
    encoder = load_encoder(str(saved)).encoder
    leaves = jax.tree.leaves(nnx.state(encoder))
    assert all(isinstance(leaf, jax.Array) and leaf.dtype == jnp.float32 for leaf in leaves)
    wave = jax.random.normal(jax.random.key(1), (2, 600))
    lengths = jnp.array([600, 400])
    for mine, other in zip(
        encoder(wave, lengths).hidden_states, random_encoder()(wave, lengths).hidden_states, strict=True
    ):
        np.testing.assert_array_equal(mine, other)


def test_weights_may_be_bfloat16_in_memory_whatever_the_file_has(saved, random_encoder):
    encoder = load_encoder(str(saved), "bfloat16").encoder
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(encoder))} == {jnp.dtype(jnp.bfloat16)}
    for key, value in to_tensors(random_encoder()).items():
        np.testing.assert_array_equal(to_tensors(encoder)[key], value.astype(jnp.bfloat16), err_msg=key)


def _kilobytes(key):
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines())
    return int(lines[key].split()[0])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("stored", "dtype"), [("float32", "float32"), ("float16", "float32"), ("float32", "bfloat16")])
def test_loading_takes_little_more_memory_than_the_weights(tmp_path, stored, dtype):
    save_pretrained(
        build_encoder(preset("hubert", "base"), rngs=nnx.Rngs(0)),
        tmp_path,
        preprocessor=Preprocessor(),
        shared=tmp_path,
        dtype=stored,
    )
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak begins anew
    before = _kilobytes("VmRSS")
    encoder = load_encoder(str(tmp_path), dtype).encoder
    weights = sum(leaf.nbytes for leaf in jax.tree.leaves(nnx.state(encoder)))
    assert 1024 * (_kilobytes("VmHWM") - before) <= 1.2 * weights


def test_files_are_those_that_transformers_reads(saved):
    assert {path.name for path in saved.iterdir()} == {"config.json", "preprocessor_config.json", "model.safetensors"}
    config = json.loads((saved / "config.json").read_text())
    assert config["architectures"] == ["HubertModel"]
    assert config["model_type"] == "hubert"
    preprocessor = json.loads((saved / "preprocessor_config.json").read_text())
    assert preprocessor["feature_extractor_type"] == "Wav2Vec2FeatureExtractor"


def test_saving_again_replaces(saved, random_encoder):
    save_pretrained(random_encoder(seed=1), saved, preprocessor=Preprocessor())
    assert_same_weights(load_encoder(str(saved)).encoder, random_encoder(seed=1))


def test_a_head_travels_along_and_is_left_out_of_the_encoder_with_a_note(tmp_path, random_encoder):
    encoder, head = random_encoder(), nnx.Linear(16, 4, rngs=nnx.Rngs(0))
    extra = to_tensors(head, "head.")
    save_pretrained(encoder, tmp_path, preprocessor=Preprocessor(), prefix="hubert.", extra_tensors=extra)
    loaded = load_encoder(str(tmp_path))
    assert_same_weights(loaded.encoder, encoder)
    assert loaded.notes == (f"{tmp_path} also holds head; only the encoder was loaded.",)
    np.testing.assert_array_equal(read_checkpoint(str(tmp_path)).tensors["head.weight"], head.kernel[...].T)


@pytest.mark.parametrize("prefix", ["", "hubert."])
@pytest.mark.parametrize(
    "key", ["lm_head.weight", "quantizer.codevectors", "project_hid.bias", "classifier.dense.bias"]
)
def test_keys_of_a_task_are_left_out_with_a_note(tmp_path, prefix, key, random_encoder):
    extra = {key: np.zeros(3, np.float32)}
    save_pretrained(random_encoder(), tmp_path, preprocessor=Preprocessor(), prefix=prefix, extra_tensors=extra)
    (note,) = load_encoder(str(tmp_path)).notes
    assert f"also holds {key.split('.')[0]};" in note


@pytest.mark.parametrize("key", ["encoder.layers.2.layer_norm.weight", "encoder.adapter.weight", "lm_headache.weight"])
def test_other_keys_are_an_error(saved, key):
    write_tensors(saved / "model.safetensors", read_tensors(saved) | {key: np.zeros(3, np.float32)})
    with pytest.raises(UserError, match=rf"1 left over(.|\n)*left over: {key}$"):
        load_encoder(str(saved))


def test_a_missing_mask_embedding_is_zero_and_said(saved):
    tensors = dict(read_tensors(saved))
    del tensors["masked_spec_embed"]
    write_tensors(saved / "model.safetensors", tensors)
    loaded = load_encoder(str(saved))
    np.testing.assert_array_equal(loaded.encoder.masked_spec_embed[...], np.zeros(16))
    assert loaded.notes == (f"{saved} has no masked_spec_embed: masked frames start as zeros.",)


def test_weights_of_another_config_are_named_key_by_key(saved):
    edit(saved / "config.json", num_hidden_layers=3, intermediate_size=40)
    with pytest.raises(UserError) as raised:
        load_encoder(str(saved))
    message = str(raised.value)
    assert "16 missing, 0 left over, 6 of another shape" in message
    assert "missing: encoder.layers.2.attention.k_proj.weight" in message
    assert (
        "misfit: encoder.layers.0.feed_forward.intermediate_dense.weight is float32 (24, 16), "
        "but the model needs floats (40, 16)" in message
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "sew-d"}, "model_type is 'sew-d'"),
        ({"model_type": None}, "model_type is missing"),
        ({"hidden_act": "mish"}, "hidden_act is 'mish'"),
        ({"add_adapter": True}, "add_adapter"),
        (
            {"model_type": "wav2vec2", "do_stable_layer_norm": True, "adapter_attn_dim": 4},
            "adapter_attn_dim is 4, but the weights hold no adapter of a language, ",
        ),
    ],
)
def test_another_architecture_is_refused_by_its_config(saved, changes, words):
    edit(saved / "config.json", **changes)
    with pytest.raises(UserError, match=rf"config\.json: {words}"):
        load_encoder(str(saved))


def test_a_missing_preprocessor_is_noted_and_a_missing_config_an_error(saved):
    (saved / "preprocessor_config.json").unlink()
    (note,) = load_encoder(str(saved)).notes
    assert "has no preprocessor_config.json" in note
    (saved / "config.json").unlink()
    with pytest.raises(UserError, match=r"config\.json: there is no such file"):
        load_encoder(str(saved))


def test_nothing_is_written_where_the_folder_is_a_file(tmp_path, random_encoder):
    (tmp_path / "taken").touch()
    with pytest.raises(UserError, match="taken"):
        save_pretrained(random_encoder(), tmp_path / "taken", preprocessor=Preprocessor())


def test_code_beside_the_weights_is_told_and_never_run(saved):
    (saved / "modeling_x.py").write_text("raise SystemExit('run')")
    edit(saved / "config.json", auto_map={"AutoModel": "modeling_x.Model"})
    assert load_encoder(str(saved)).notes == (
        f"{saved}: config.json names code that comes with it (auto_map), which is never run.",
    )
    edit(saved / "config.json", model_type="x")
    with pytest.raises(UserError, match=r"model_type is 'x', whose code comes with it \(auto_map\) and is never run"):
        load_encoder(str(saved))
