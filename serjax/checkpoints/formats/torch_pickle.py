"""PyTorch's pickled weights (.bin) without PyTorch, and without running anything that the pickle names.

A pickle is a program that may call any function it names. Here it may name only what a state dict of plain tensors is
made of, and each such name stands for a function of this file. Both layouts of torch.save are read: a zip archive of
`data.pkl` and one stored record a storage, and, before PyTorch 1.6, pickles followed by the storages' bytes.
"""

import io
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from operator import index
from pathlib import Path
from typing import IO, Any, NamedTuple

import ml_dtypes
import numpy as np

from serjax.checkpoints.formats.pickles import Unpickler
from serjax.runtime.errors import UserError, brief
from serjax.runtime.pointers import refuse_pointer

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_ZIP = b"PK\x03\x04"
_STORAGE_DTYPES: dict[str, Any] = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


class _Storage(NamedTuple):
    """A flat run of numbers, named in the pickle and held elsewhere in the file."""

    key: str
    dtype: np.dtype


class _Tensor(NamedTuple):
    """A strided view of a storage; offset, shape and strides count elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_torch_file(path: Path, within: Sequence[str] = (), without: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Read a state dict that torch.save wrote.

    Args:
        path: the file, in the zip layout or the one before it.
        within: keys that a training puts its state dict under, beside other things; one after another is opened where
            it is there, and what stands beside it is passed over.
        without: keys of the state dict that are passed over, whatever they hold.

    Returns:
        One array a key, of the dtype in the file (bfloat16 as ml_dtypes has it), read-only, mapped from the file.

    Raises:
        UserError: the file is damaged, holds anything but tensors, or names a callable other than those that rebuild
            tensors; such a callable is not run.
    """
    try:
        refuse_pointer(path, "the weights")
        tensors, storage_bytes = _read_zip(path) if zipfile.is_zipfile(path) else _read_legacy(path)
        for key in within:
            if isinstance(tensors, Mapping) and isinstance(tensors.get(key), Mapping):
                tensors = tensors[key]
        if isinstance(tensors, Mapping):
            tensors = {key: tensor for key, tensor in tensors.items() if key not in without}
        return _views(tensors, storage_bytes, path)
    except UserError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise UserError(
            f"{path}: this is no PyTorch weights file, or it is damaged ({brief(error)}); fetch it again."
        ) from None


_Bytes = Callable[["_Storage"], np.ndarray]


def _read_zip(path: Path) -> tuple[Any, _Bytes]:
    """Return what the pickle holds, and the function of a storage's bytes."""
    data = np.memmap(path, np.uint8, mode="r")
    with zipfile.ZipFile(path) as archive:
        records = {info.filename: info for info in archive.infolist()}
        root = next(name for name in records if name.endswith("/data.pkl")).removesuffix("data.pkl")
        if any(info.compress_type != zipfile.ZIP_STORED for info in records.values()):
            raise UserError(f"{path}: its records are compressed, which torch.save never does; save it again.")
        if f"{root}byteorder" in records and archive.read(f"{root}byteorder") != b"little":
            raise UserError(f"{path}: it was written on a big-endian machine; save it again as safetensors.")
        pickled = archive.read(f"{root}data.pkl")
        tensors = _Unpickler(io.BytesIO(pickled), path, len(pickled)).load()

    def storage_bytes(storage: _Storage) -> np.ndarray:
        info = records[f"{root}data/{storage.key}"]
        # The name and the extra field of the local header (30 bytes and these two) may differ from the directory's.
        lengths = data[info.header_offset + 26 : info.header_offset + 30].tobytes()
        start = info.header_offset + 30 + sum(struct.unpack("<HH", lengths))
        return data[start : start + info.file_size]

    return tensors, storage_bytes


def _read_legacy(path: Path) -> tuple[Any, _Bytes]:
    """Return what the pickle holds, and the function of a storage's bytes."""
    with path.open("rb") as file:
        if file.read(len(_ZIP)) == _ZIP:
            raise ValueError("a zip archive that breaks off")
        file.seek(0)
        if _Unpickler(file, path).load() != _LEGACY_MAGIC or _Unpickler(file, path).load() != _LEGACY_PROTOCOL:
            raise ValueError("no magic number")
        if not _Unpickler(file, path).load()["little_endian"]:
            raise UserError(f"{path}: it was written on a big-endian machine; save it again as safetensors.")
        unpickler = _Unpickler(file, path)
        tensors = unpickler.load()
        keys = _Unpickler(file, path).load()
        start = file.tell()
    data = np.memmap(path, np.uint8, mode="r")
    records = {}
    for key in keys:
        (count,) = struct.unpack("<q", data[start : start + 8].tobytes())
        end = start + 8 + count * unpickler.storages[key].dtype.itemsize
        records[key] = data[start + 8 : end]
        start = end
    return tensors, lambda storage: records[storage.key]


def _views(tensors: Any, storage_bytes: _Bytes, path: Path) -> dict[str, np.ndarray]:
    """Turn the pickle's tensors into views of the mapped bytes; numpy checks that each lies inside its storage."""
    if not isinstance(tensors, Mapping):
        raise UserError(f"{path}: it holds one {type(tensors).__name__}, no state dict; save model.state_dict().")
    arrays = {}
    for key, tensor in tensors.items():
        if not isinstance(key, str) or not isinstance(tensor, _Tensor):
            raise UserError(
                f"{path}: key {brief(repr(key))} is of type {type(tensor).__name__}, no tensor; save "
                "model.state_dict() alone."
            )
        dtype = tensor.storage.dtype
        arrays[key] = np.ndarray(
            shape=tensor.shape,
            dtype=dtype,
            buffer=storage_bytes(tensor.storage).data,
            offset=tensor.offset * dtype.itemsize,
            strides=[stride * dtype.itemsize for stride in tensor.strides],
        )
    return arrays


class _Unpickler(Unpickler):
    def __init__(self, file: IO[bytes], path: Path, size: int | None = None) -> None:
        super().__init__(file, path, size)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _STORAGE_DTYPES:
            return name
        if (module, name) == ("collections", "OrderedDict"):
            return _ordered
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: _tensor(storage, offset, shape, strides)
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda tensor, *_: tensor
        raise UserError(
            f"{self.path}: the pickle asks to call {brief(f'{module}.{name}')}, which no weights need; "
            "it was not run. Use a safetensors file of the same model from a source that you trust."
        )

    def take_state(self, owner: Any, state: Any) -> None:
        # PyTorch notes versions of modules at the dict itself.
        if not isinstance(owner, dict):
            super().take_state(owner, state)

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage_type, key, _device, _count, *view = pid
        known = kind == "storage" and isinstance(key, str) and isinstance(storage_type, str) and not any(view)
        if not known or storage_type not in _STORAGE_DTYPES:
            raise ValueError("a reference to what is no storage")
        return self.storages.setdefault(key, _Storage(key, np.dtype(_STORAGE_DTYPES[storage_type])))


def _ordered(pairs: Any = ()) -> dict[str, Any]:
    """Stand for OrderedDict, as protocol 2 calls it: with nothing, or with pairs."""
    if not all(isinstance(key, str) for key, _ in pairs):
        raise ValueError("a key that is no text")
    return dict(pairs)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> _Tensor:
    """Return a view whose numbers are numbers; what refers to a nested tuple could not even be shown."""
    if not isinstance(storage, _Storage):
        raise ValueError("a tensor without a storage")
    sizes, steps = tuple(map(index, shape)), tuple(map(index, strides))
    if len(sizes) != len(steps) or not all(0 <= one < 2**63 for one in (index(offset), *sizes, *steps)):
        raise ValueError("a tensor whose shape and strides do not fit")
    return _Tensor(storage, index(offset), sizes, steps)
