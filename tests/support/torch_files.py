"""Files as torch.save writes them, made without PyTorch; they may ask for what no honest file asks."""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

LEGACY_HEAD = (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True})


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


class LegacyPickler(Pickler):
    def persistent_id(self, obj):
        reference = super().persistent_id(obj)
        return reference and (*reference, None)


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


def write_legacy(path, obj, storages=(), head=LEGACY_HEAD):
    storages = dict(storages)
    parts = [*(dumps(part) for part in head), dumps(obj, LegacyPickler), dumps(list(storages))]
    parts += [struct.pack("<q", len(values)) + values.tobytes() for values in storages.values()]
    path.write_bytes(b"".join(parts))
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
