import json
import resource

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.checkpoints.formats.tensors import read_tensors, write_tensors
from serjax.runtime.errors import UserError
from serjax.runtime.json_files import read_json

FLAX = {
    "encoder": {
        "layers": {"0": {"k_proj": {"kernel": (3, 4), "bias": (4,)}, "layer_norm": {"scale": (4,), "bias": (4,)}}},
        "pos_conv_embed": {"conv": {"weight_g": (1, 1, 5), "weight_v": (6, 2, 5), "bias": (6,)}},
        "embed": {"embedding": (7, 4)},
    },
    "conv": {"kernel": (5, 2, 6)},
    "masked_spec_embed": (4,),
}
TORCH = {
    "encoder.layers.0.k_proj.weight": (4, 3),
    "encoder.layers.0.k_proj.bias": (4,),
    "encoder.layers.0.layer_norm.weight": (4,),
    "encoder.layers.0.layer_norm.bias": (4,),
    "encoder.pos_conv_embed.conv.weight_g": (1, 1, 5),
    "encoder.pos_conv_embed.conv.weight_v": (6, 2, 5),
    "encoder.pos_conv_embed.conv.bias": (6,),
    "encoder.embed.weight": (7, 4),
    "conv.weight": (6, 2, 5),
    "masked_spec_embed": (4,),
}


def filled(tree, rng):
    if isinstance(tree, dict):
        return {key: filled(value, rng) for key, value in tree.items()}
    return rng.normal(size=tree).astype(np.float32)


def some(seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return {"a.weight": rng.normal(size=(3, 4)).astype(dtype), "a.bias": rng.normal(size=3).astype(dtype)}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key].dtype == value.dtype
        np.testing.assert_array_equal(found[key], value)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, jnp.bfloat16, np.float64, np.int64, np.bool_])
def test_safetensors_are_mapped_in_their_own_dtype(tmp_path, dtype):
    tensors = some(dtype=dtype) | {"scalar": np.ones((), dtype), "empty": np.ones((0, 2), dtype)}
    safetensors.numpy.save_file(tensors, tmp_path / "model.safetensors")
    found = read_tensors(tmp_path)
    assert_same(found, tensors)
    assert not any(value.flags.writeable or value.flags.owndata for value in found.values())


def test_safetensors_win_over_other_formats(tmp_path):
    write_tensors(tmp_path / "model.safetensors", some())
    (tmp_path / "pytorch_model.bin").write_bytes(b"nonsense")
    assert_same(read_tensors(tmp_path), some())


def test_shards_are_put_together(tmp_path):
    tensors = some()
    weight_map = {}
    for number, key in enumerate(tensors):
        weight_map[key] = f"model-{number + 1:05}-of-00002.safetensors"
        write_tensors(tmp_path / weight_map[key], {key: tensors[key]})
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert_same(read_tensors(tmp_path), tensors)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(UserError, match=r"model-00002-of-00002\.safetensors: this part of the weights is missing"):
        read_tensors(tmp_path)


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", "sub/model.safetensors", 3])
def test_an_index_cannot_lead_out_of_its_directory(tmp_path, name):
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(UserError, match="must map each key to a file beside this one"):
        read_tensors(tmp_path)


@given(cut=st.floats(0, 1, exclude_max=True))
@settings(max_examples=30)
def test_a_truncated_file_is_one_sentence(tmp_path_factory, cut):
    for name in ("model.safetensors", "flax_model.msgpack"):
        folder = tmp_path_factory.mktemp("cut")
        if name.endswith("msgpack"):
            (folder / name).write_bytes(serialization.msgpack_serialize(some()))
        else:
            write_tensors(folder / name, some())
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(cut * len(content))])
        with pytest.raises(UserError, match="truncated") as raised:
            read_tensors(folder)
        assert name in str(raised.value)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "flax_model.msgpack"])
def test_a_pointer_of_git_lfs_is_named(tmp_path, name):
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")
    with pytest.raises(UserError, match=rf"{name}: it is a pointer of Git LFS, not the weights; .*`git lfs pull`\.$"):
        read_tensors(tmp_path)


def test_a_dtype_without_a_numpy_name_is_said(tmp_path):
    header = json.dumps({"w": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}).encode()
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    with pytest.raises(UserError, match=r"w is F8_E4M3.*save it as F32"):
        read_tensors(tmp_path)


@pytest.mark.parametrize("nested", ["", "params"])
def test_flax_msgpack_gets_pytorchs_names_and_layout(tmp_path, nested):
    tree = filled(FLAX, np.random.default_rng(0))
    content = serialization.msgpack_serialize({nested: tree} if nested else tree)
    (tmp_path / "flax_model.msgpack").write_bytes(content)
    found = read_tensors(tmp_path)
    assert {key: value.shape for key, value in found.items()} == TORCH
    key = tree["encoder"]["layers"]["0"]["k_proj"]["kernel"]
    np.testing.assert_array_equal(found["encoder.layers.0.k_proj.weight"], key.T)
    np.testing.assert_array_equal(found["conv.weight"], tree["conv"]["kernel"].transpose(2, 1, 0))
    direction = tree["encoder"]["pos_conv_embed"]["conv"]["weight_v"]
    np.testing.assert_array_equal(found["encoder.pos_conv_embed.conv.weight_v"], direction)


def test_safetensors_of_a_flax_model_get_pytorchs_names_too(tmp_path):
    flat = {"norm.scale": np.ones(3, np.float32), "dense.kernel": np.ones((3, 4), np.float32)}
    safetensors.numpy.save_file(flat, tmp_path / "model.safetensors", metadata={"format": "flax"})
    shapes = {key: value.shape for key, value in read_tensors(tmp_path).items()}
    assert shapes == {"norm.weight": (3,), "dense.weight": (4, 3)}


def test_a_directory_without_weights_says_what_may_be_there(tmp_path):
    (tmp_path / "tf_model.h5").touch()
    with pytest.raises(UserError, match=r"holds no weights.*model\.safetensors.*pytorch_model\.bin.*msgpack"):
        read_tensors(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[1]", "\xff"])
def test_bad_json_names_its_file(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match=r"config\.json: it"):
        read_json(tmp_path / "config.json")
    with pytest.raises(UserError, match=r"other\.json: there is no such file"):
        read_json(tmp_path / "other.json")


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "new" / "model.safetensors"
    write_tensors(path, some(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # as a disk that is full after 1000 bytes
    try:
        with pytest.raises(UserError, match=r"model\.safetensors: it cannot be written .*free some space"):
            write_tensors(path, {"large": np.ones(10_000, np.float32)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert_same(read_tensors(path.parent), some(1))


def test_a_file_in_the_way_is_one_sentence(tmp_path):
    (tmp_path / "taken").touch()
    with pytest.raises(UserError, match="taken"):
        write_tensors(tmp_path / "taken" / "model.safetensors", some())
