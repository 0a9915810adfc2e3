"""Files as torch.save writes them, without PyTorch."""

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np


class Global(NamedTuple):
    """A callable, by name alone."""

    module: str
    name: str


class Call(NamedTuple):
    """A call that the pickle asks for."""

    function: Global
    arguments: tuple


class Storage(NamedTuple):
    """A run of numbers outside the pickle."""

    kind: str
    key: str
    count: int


class Pickler(pickle._Pickler):
    """Writes names without importing them, so that no PyTorch is needed and nothing harmful is at hand."""

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Global):
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
        elif isinstance(obj, Call):
            self.save(obj.function)
            self.save(obj.arguments)
            self.write(pickle.REDUCE)
        else:
            super().save(obj, save_persistent_id)

    def persistent_id(self, obj):
        if isinstance(obj, Storage):
            return ("storage", Global("torch", obj.kind), obj.key, "cpu", obj.count)
        return None


def dumps(obj, pickler=Pickler):
    stream = io.BytesIO()
    pickler(stream, protocol=2).dump(obj)
    return stream.getvalue()


def tensor(kind, key, count, offset, shape, strides):
    arguments = (Storage(kind, key, count), offset, shape, strides, False, OrderedDict())
    return Call(Global("torch._utils", "_rebuild_tensor_v2"), arguments)


def write_zip(path, obj, storages=()):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", dumps(obj))
        archive.writestr("archive/byteorder", "little")
        for key, values in dict(storages).items():
            archive.writestr(f"archive/data/{key}", values.tobytes())
    return path


def write_state(path, state):
    """Write nested mappings of float32 arrays and plain values."""
    storages = {}

    def put(value):
        if isinstance(value, Mapping):
            return OrderedDict((key, put(one)) for key, one in value.items())
        if not isinstance(value, np.ndarray):
            return value
        key = str(len(storages))
        storages[key] = np.ascontiguousarray(value, np.float32)
        strides = tuple(stride // 4 for stride in storages[key].strides)
        return tensor("FloatStorage", key, value.size, 0, value.shape, strides)

    return write_zip(path, put(state), storages)
