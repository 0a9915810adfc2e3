"""Centroids of k-means: our own as safetensors, others' as .npy or as joblib wrote them."""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32

from serjax.checkpoints.formats.joblib_pickle import read_joblib_centroids
from serjax.checkpoints.formats.tensors import read_file, write_tensors
from serjax.runtime.arrays import read_array
from serjax.runtime.errors import UserError

_KEY = "centres"


def write_centroids(path: Path, centroids: Float[np.ndarray, "k d"]) -> None:
    """Write centroids as a safetensors file.

    Raises:
        UserError: the disk is full, or the folder cannot be written.
    """
    write_tensors(path, {_KEY: np.ascontiguousarray(centroids, np.float32)})


def read_centroids(path: Path) -> Float32[np.ndarray, "k d"]:
    """Read centroids: safetensors, .npy, or scikit-learn's k-means as joblib or pickle wrote it.

    The official k-means of HuBERT, `hubert_base_ls960_L9_km500.bin`, is of the last kind. No code that a file names is
    run.

    Raises:
        UserError: no such file, or one that is damaged or holds no table of finite numbers.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such file of centroids; give a .safetensors, .npy, .bin or .joblib file.")
    if path.suffix == ".safetensors":
        tensors = read_file(path)
        if _KEY not in tensors:
            raise UserError(f"{path}: it holds no tensor called {_KEY}; give a file of centroids.")
        centroids = tensors[_KEY]
    elif path.suffix == ".npy":
        centroids = read_array(path)
    else:
        centroids = read_joblib_centroids(path)
    if centroids.ndim != 2 or not centroids.size or not np.issubdtype(centroids.dtype, np.floating):
        raise UserError(
            f"{path}: it holds {centroids.dtype} {centroids.shape}; centroids are a table of numbers [k, values]."
        )
    if not np.isfinite(centroids).all():
        raise UserError(f"{path}: centroids hold NaN or infinity; fit them again.")
    return np.array(centroids, np.float32)
