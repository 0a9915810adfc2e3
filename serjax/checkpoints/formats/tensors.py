"""Weight files: read as arrays by PyTorch's key, mapped from the disk, and written as safetensors."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy

from serjax.checkpoints.conversion import from_flax_names
from serjax.checkpoints.formats.torch_pickle import read_torch_file
from serjax.runtime.constraints import FileName, read_as
from serjax.runtime.errors import UserError, brief, reason
from serjax.runtime.json_files import contents_of, parse_json
from serjax.runtime.pointers import refuse_pointer

WEIGHT_FILES = (
    ("model.safetensors", "model.safetensors.index.json", "model-*.safetensors"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*.bin"),
    ("flax_model.msgpack", "flax_model.msgpack.index.json", "flax_model-*.msgpack"),
)
"""Names of weight files: the groups in order of preference, each as (whole, index of shards, shards)."""

SUFFIXES = (".safetensors", ".bin", ".msgpack")
"""Of files of weights."""


_INDEX_REMEDY = "weight_map must map each key to a file beside this one; fetch it again"


@dataclass(frozen=True)
class _Index:
    """Contents of an index of shards: the file of each key, beside the index."""

    weight_map: dict[str, FileName]


_DTYPES: dict[str, Any] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


def read_tensors(directory: Path) -> dict[str, np.ndarray]:
    """Read all weights of a Hugging Face directory: safetensors, else .bin, else .msgpack, whole or in shards.

    Returns:
        Read-only arrays by PyTorch's key, of the dtypes in the files; bfloat16 is that of ml_dtypes.

    Raises:
        UserError: no such file, or one that is damaged, truncated or not plain tensors.
    """
    for names in WEIGHT_FILES:
        for path in (directory / name for name in names[:2]):
            if path.is_file():
                return _read_shards(path) if path.suffix == ".json" else read_file(path)
    wanted = ", ".join(name for names in WEIGHT_FILES for name in names[:2])
    raise UserError(f"{directory}: it holds no weights; one of {wanted} must be there.")


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Write a safetensors file that PyTorch reads, under a temporary name and then renamed; its folder is made.

    Raises:
        UserError: the disk is full, or the folder cannot be written.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Views would be written in the order of their memory.
        whole = {key: np.asarray(value, order="C") for key, value in tensors.items()}
        safetensors.numpy.save_file(whole, temporary, metadata={"format": "pt"})
        temporary.replace(path)
    except (OSError, safetensors.SafetensorError) as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise UserError(f"{path}: it cannot be written ({error}); free some space, or write elsewhere.") from None


def read_file(path: Path) -> dict[str, np.ndarray]:
    """Read one file of weights, or of other tensors, by its suffix: .safetensors, .bin, else Flax's .msgpack.

    Raises:
        UserError: the file is damaged, truncated or holds other things than plain tensors.
    """
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return read_torch_file(path) if path.suffix == ".bin" else _read_msgpack(path)


def _read_shards(index: Path) -> dict[str, np.ndarray]:
    """Read the files that an index names; they lie beside it."""
    tensors: dict[str, np.ndarray] = {}
    for name in sorted(set(read_as(_Index, index, _INDEX_REMEDY).weight_map.values())):
        if Path(name).suffix not in SUFFIXES:
            raise UserError(f"{index}: weight_map names {brief(name)}, which is no file of weights; fetch it again.")
        if not (index.parent / name).is_file():
            raise UserError(f"{index.parent / name}: this part of the weights is missing; fetch it too.")
        tensors |= read_file(index.parent / name)
    return tensors


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Map the file: safetensors' own loaders copy each tensor, and the one for numpy cannot read bfloat16."""
    try:
        refuse_pointer(path, "the weights")
        with safetensors.safe_open(path, framework="numpy") as file:  # checks header and offsets
            made_by = (file.metadata() or {}).get("format")
    except (OSError, safetensors.SafetensorError) as error:
        raise UserError(f"{path}: it is truncated or no safetensors file ({reason(error)}); fetch it again.") from None
    data = np.memmap(path, np.uint8, mode="r")
    start = 8 + int.from_bytes(data[:8].tobytes(), "little")
    header = parse_json(data[8:start].tobytes(), str(path))
    header.pop("__metadata__", None)
    tensors = {}
    for key, entry in header.items():
        if entry["dtype"] not in _DTYPES:
            raise UserError(f"{path}: {brief(key)} is {entry['dtype']}, which serjax does not read; save it as F32.")
        first, last = entry["data_offsets"]
        tensors[key] = data[start + first : start + last].view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])
    with contents_of(path, "fetch it again"):
        return from_flax_names(tensors) if made_by == "flax" else tensors


def _read_msgpack(path: Path) -> dict[str, np.ndarray]:
    from flax import serialization, traverse_util

    try:
        refuse_pointer(path, "the weights")
        tree = serialization.msgpack_restore(path.read_bytes())
        return from_flax_names(traverse_util.flatten_dict(tree, sep="."))
    except UserError:
        raise
    except Exception as error:  # a damaged file can raise anything
        raise UserError(f"{path}: it is truncated or no Flax weights file ({brief(error)}); fetch it again.") from None
