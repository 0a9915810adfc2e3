"""Short hashes of arrays and settings, by which finished work is found again."""

import hashlib
from typing import Any

import jax
import numpy as np


def fingerprint(*parts: Any) -> str:
    """Return a short hash of pytrees of arrays and of anything with a plain `repr`."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        for path, leaf in jax.tree_util.tree_leaves_with_path(part):
            digest.update(str(path).encode())
            digest.update(np.asarray(leaf).tobytes() if hasattr(leaf, "shape") else repr(leaf).encode())
    return digest.hexdigest()
