import contextlib
import os
import pickle
import zipfile
from collections import OrderedDict

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_files import LEGACY_HEAD, Call, Global, dumps, tensor, write_legacy, write_state, write_zip

from serjax.checkpoints.formats.torch_pickle import read_torch_file
from serjax.runtime.errors import UserError

DTYPES = {
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": jnp.bfloat16,
    "DoubleStorage": np.float64,
    "LongStorage": np.int64,
    "BoolStorage": np.bool_,
}


@pytest.fixture(params=[write_zip, write_legacy], ids=["zip", "legacy"])
def write(request):
    return request.param


@pytest.mark.parametrize("kind", DTYPES)
def test_views_of_storages_are_rebuilt(tmp_path, write, kind):
    values = np.arange(24).astype(DTYPES[kind])
    state = OrderedDict(
        whole=tensor(kind, "a", 24, 0, (4, 6), (6, 1)),
        turned=tensor(kind, "a", 24, 0, (6, 4), (1, 6)),
        part=tensor(kind, "a", 24, 7, (2, 3), (6, 2)),
        scalar=tensor(kind, "b", 1, 0, (), ()),
        parameter=Call(
            Global("torch._utils", "_rebuild_parameter"),
            (tensor(kind, "b", 1, 0, (1,), (1,)), True, OrderedDict()),
        ),
        empty=tensor(kind, "c", 0, 0, (0, 3), (3, 1)),
    )
    path = write(tmp_path / "weights.bin", state, {"a": values, "b": values[5:6], "c": values[:0]})
    arrays = read_torch_file(path)
    square = values.reshape(4, 6)
    expected = {
        "whole": square,
        "turned": square.T,
        "part": values[[[7, 9, 11], [13, 15, 17]]],
        "scalar": values[5],
        "parameter": values[5:6],
        "empty": np.zeros((0, 3), DTYPES[kind]),
    }
    assert list(arrays) == list(state)
    for key, value in expected.items():
        assert arrays[key].dtype == DTYPES[kind]
        assert arrays[key].shape == value.shape
        np.testing.assert_array_equal(arrays[key], value)
        assert not arrays[key].flags.writeable


EVIL = [
    ("os", "system", "echo"),
    ("posix", "system", "echo"),
    ("builtins", "eval", "1"),
    ("builtins", "getattr", "x"),
    ("torch", "load", "x"),
    ("torch", "FloatTensor", "x"),
    ("torch._utils", "_rebuild_sparse_tensor", "x"),
    ("torch.FloatStorage", "__reduce__", "x"),
    ("collections", "OrderedDict.fromkeys", "x"),
    ("numpy", "load", "x"),
]


@pytest.mark.parametrize(("module", "name", "argument"), EVIL)
def test_a_callable_is_refused_by_name(tmp_path, write, module, name, argument):
    state = {"weight": Call(Global(module, name), (argument,))}
    with pytest.raises(UserError) as raised:
        read_torch_file(write(tmp_path / "weights.bin", state))
    message = str(raised.value)
    assert f"call {module}.{name}" in message
    assert "weights.bin" in message
    assert "not run" in message


class Toucher:
    """Makes a file when it is unpickled as Python would."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("position", [0, 1, 2, 3, "zip"])
def test_nothing_in_the_file_is_run(tmp_path, protocol, position):
    proof = tmp_path / "proof"
    evil = pickle.dumps(Toucher(proof), protocol)
    path = tmp_path / "weights.bin"
    if position == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", evil)
    else:
        path.write_bytes(b"".join(dumps(part) for part in LEGACY_HEAD[:position]) + evil)
    with pytest.raises(UserError, match=r"mkdir, .*not run"):
        read_torch_file(path)
    assert not proof.exists()
    pickle.loads(evil)
    assert proof.exists()


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(0, (5,), (1,)), (1, (4,), (1,)), (0, (2, 2), (3, 1)), (-1, (2,), (1,)), (3, (2,), (-4,)), (0, (-1,), (1,))],
)
def test_a_tensor_beyond_its_storage_is_refused(tmp_path, write, offset, shape, strides):
    state = {"weight": tensor("FloatStorage", "a", 4, offset, shape, strides)}
    state |= {"neighbour": tensor("FloatStorage", "b", 9, 0, (9,), (1,))}
    path = write(tmp_path / "weights.bin", state, {"a": np.zeros(4, np.float32), "b": np.zeros(9, np.float32)})
    with pytest.raises(UserError, match=r"damaged.*(ValueError|TypeError)"):
        read_torch_file(path)


@pytest.mark.parametrize(
    ("obj", "words"),
    [
        ([1], "holds one list, no state dict"),
        ({"epoch": 3}, "key 'epoch' is of type int, no tensor"),
        ({"model": {"weight": 3}}, "key 'model' is of type dict, no tensor"),
        ({3: tensor("FloatStorage", "a", 1, 0, (1,), (1,))}, "key 3 is"),
    ],
)
def test_what_is_no_state_dict_is_said(tmp_path, write, obj, words):
    with pytest.raises(UserError, match=words):
        read_torch_file(write(tmp_path / "weights.bin", obj, {"a": np.zeros(1, np.float32)} if 3 in obj else {}))


def test_compressed_and_big_endian_archives_are_refused(tmp_path):
    state = {"weight": tensor("FloatStorage", "a", 100, 0, (100,), (1,))}
    path = write_zip(tmp_path / "weights.bin", state, {"a": np.zeros(100, np.float32)})
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in records.items():
            archive.writestr(name, content)
    with pytest.raises(UserError, match="compressed"):
        read_torch_file(path)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (records | {"archive/byteorder": b"big"}).items():
            archive.writestr(name, content)
    with pytest.raises(UserError, match="big-endian"):
        read_torch_file(path)
    head = (*LEGACY_HEAD[:2], {"little_endian": False})
    with pytest.raises(UserError, match="big-endian"):
        read_torch_file(write_legacy(path, state, {"a": np.zeros(100, np.float32)}, head))


@given(data=st.data())
@settings(max_examples=100)
def test_damage_gives_a_sentence_or_arrays_and_no_other_error(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged")
    state = {"weight": tensor("FloatStorage", "a", 6, 0, (2, 3), (3, 1))}
    write = data.draw(st.sampled_from([write_zip, write_legacy]))
    path = write(folder / "weights.bin", state, {"a": np.arange(6, dtype=np.float32)})
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        # Not `r`: with that opcode CPython's own unpickler may fill the memory before it looks at anything.
        byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != ord(pickle.LONG_BINPUT)))
        content[data.draw(st.integers(0, len(content) - 1))] = byte
    path.write_bytes(content)
    with contextlib.suppress(UserError):
        assert all(isinstance(array, np.ndarray) for array in read_torch_file(path).values())


@pytest.mark.torch
@pytest.mark.parametrize("zipped", [True, False])
def test_reads_what_pytorch_writes(tmp_path, zipped):
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv1d(3, 4, 5), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))
    large = torch.randn(10, 20, generator=generator)
    state = module.state_dict()
    state |= {"turned": large.T, "part": large[2:5, ::2], "same": large, "spread": large[:1].expand(4, 20)}
    state |= {"half": large.half(), "bfloat": large.bfloat16(), "empty": large[:0], "parameter": module[0].weight}
    torch.save(state, tmp_path / "weights.bin", _use_new_zipfile_serialization=zipped)
    arrays = read_torch_file(tmp_path / "weights.bin")
    assert list(arrays) == list(state)
    for key, value in state.items():
        assert arrays[key].dtype.name == str(value.dtype).removeprefix("torch.")
        np.testing.assert_array_equal(arrays[key].astype(np.float64), value.detach().double().numpy())


def test_a_state_dict_is_found_where_a_training_has_put_it(tmp_path):
    values = np.arange(3, dtype=np.float32)
    state = {"a": values, "ema": {"a": values}}
    path = write_state(tmp_path / "model.pt", {"epoch": 3, "state_dict": {"model": state}})
    (found,) = read_torch_file(path, within=("state_dict", "model"), without=("ema",)).items()
    assert found[0] == "a"
    np.testing.assert_array_equal(found[1], values)
    with pytest.raises(UserError, match="key 'epoch' is of type int, no tensor"):
        read_torch_file(path)
