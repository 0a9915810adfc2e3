"""scikit-learn's k-means as joblib or pickle wrote it, without running anything that the file names.

A pickle is a program that may call any function it names. Here every name that a k-means needs stands for an inert
record of how it was called, and any other name is refused; only the arrays are rebuilt. joblib writes the bytes of an
array into the stream, right after the record that describes it.
"""

from math import prod
from operator import index
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from serjax.checkpoints.formats.pickles import Unpickler
from serjax.runtime.errors import UserError, brief

_MODELS = frozenset({"KMeans", "MiniBatchKMeans"})
_MULTIARRAY = frozenset({"scalar", "_reconstruct"})
_NAMES = {
    "sklearn.cluster._kmeans": _MODELS,
    "sklearn.cluster.k_means_": _MODELS,
    "joblib.numpy_pickle": {"NumpyArrayWrapper"},
    "sklearn.externals.joblib.numpy_pickle": {"NumpyArrayWrapper"},
    "numpy": {"dtype", "ndarray"},
    "numpy.core.multiarray": _MULTIARRAY,
    "numpy._core.multiarray": _MULTIARRAY,
    "numpy.core.numeric": {"_frombuffer"},
    "numpy._core.numeric": {"_frombuffer"},
    "numpy.random": {"__RandomState_ctor"},
    "numpy.random.mtrand": {"RandomState"},
    "numpy.random._pickle": {"__randomstate_ctor", "__bit_generator_ctor"},
    "numpy.random._mt19937": {"MT19937"},
    "_codecs": {"encode"},
}
"""Names that files of k-means load, by module: the model, its arrays and numbers, and the random state."""
_DTYPES = {"f4": np.float32, "f8": np.float64, "i4": np.int32, "i8": np.int64, "u8": np.uint64, "u4": np.uint32}
_COMPRESSED = (
    b"\x1f\x8b",
    b"BZh",
    b"\xfd7zXZ",
    b"x\x01",
    b"x\x5e",
    b"x\x9c",
    b"x\xda",
    b"\x5d\x00\x00",
    b"\x04\x22M\x18",
)


class _Record:
    """Stands for an object: its name, what it was called with and the state it was given."""

    name: ClassVar[str] = ""
    state: Any = None

    def __init__(self, *arguments: Any, **_: Any) -> None:
        self.arguments = arguments


def read_joblib_centroids(path: Path) -> np.ndarray:
    """Return the centroids [k d] of the k-means, or the bare array, that a file of joblib.dump or pickle.dump holds.

    Raises:
        UserError: the file is damaged or compressed, holds something else, or names what no k-means needs, which is
            not run.
    """
    with path.open("rb") as file:
        head = file.read(6)
        file.seek(0)
        if head.startswith(_COMPRESSED):
            raise UserError(f"{path}: it is compressed; write it again with joblib.dump(model, path, compress=0).")
        try:
            found = _Unpickler(file, path).load()
            if isinstance(found, _Record) and found.name in _MODELS:
                found = (found.state or {}).get("cluster_centers_")
            return found if isinstance(found, np.ndarray) else _array(found)
        except UserError:
            raise
        except Exception as error:  # a damaged pickle can raise anything
            raise UserError(
                f"{path}: this is no k-means that scikit-learn fitted and joblib wrote, or it is damaged "
                f"({brief(error)}); give that, or centroids as safetensors or .npy."
            ) from None


def _array(found: Any) -> np.ndarray:
    """Return the array that a plain pickle describes."""
    if not isinstance(found, _Record):
        raise ValueError(f"a {type(found).__name__} in place of centroids")
    if found.name == "_frombuffer":
        raw, dtype, shape, order = found.arguments
    elif found.name == "_reconstruct":
        _, shape, dtype, fortran, raw = found.state
        order = "F" if fortran else "C"
    else:
        raise ValueError(f"a {found.name} in place of centroids")
    return np.frombuffer(raw, _dtype(dtype)).reshape(shape, order=order)


def _dtype(record: _Record) -> np.dtype:
    kind, byte_order = record.arguments[0], record.state[1]
    if record.name != "dtype" or not isinstance(kind, str) or kind not in _DTYPES or byte_order not in ("<", "|"):
        raise ValueError("values of a kind that no k-means has")
    return np.dtype(_DTYPES[kind])


# Python's own class reads no further than the record: behind it joblib put the array's bytes.
class _Unpickler(Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if name not in _NAMES.get(module, ()):
            raise UserError(
                f"{self.path}: the pickle asks for {brief(f'{module}.{name}')}, which no k-means needs; it was not "
                "run. Give scikit-learn's KMeans or MiniBatchKMeans, or centroids as safetensors or .npy."
            )
        if name == "encode":
            return lambda text, codec: text.encode("latin1")  # how protocol 2 writes bytes
        return type(name, (_Record,), {"name": name})

    def persistent_load(self, pid: Any) -> Any:
        raise ValueError("a reference to an object that is kept elsewhere")

    def take_state(self, owner: Any, state: Any) -> None:
        if not isinstance(owner, _Record):
            raise ValueError(f"a state for a {type(owner).__name__}")
        owner.state = state
        if owner.name == "NumpyArrayWrapper":
            self.stack[-1] = self._inline_array(state)

    def _inline_array(self, state: dict[str, Any]) -> np.ndarray:
        """Read the array's bytes from where the stream now stands."""
        dtype, shape = _dtype(state["dtype"]), state["shape"]
        if state.get("numpy_array_alignment_bytes") is not None:
            self.file.read(self.file.read(1)[0])
        count = prod(map(index, shape))
        if not 0 <= count * dtype.itemsize <= self.size - self.file.tell():
            raise ValueError("the file ends within an array")
        return np.fromfile(self.file, dtype, count).reshape(shape, order=state["order"])
