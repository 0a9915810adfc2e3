"""Fingerprints: equal for equal contents, different where anything differs, the same in every process."""

import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from serjax.audio.config import AugmentConfig
from serjax.runtime.fingerprint import fingerprint

BASE = ({"a": np.arange(6, dtype=np.float32)}, ("x", 1), AugmentConfig())


def test_fingerprint_is_sixteen_hexadecimal_digits():
    assert len(fingerprint(*BASE)) == 16
    assert int(fingerprint(*BASE), 16) >= 0


def test_equal_contents_have_equal_fingerprints():
    same = ({"a": jnp.arange(6, dtype=jnp.float32)}, ("x", 1), AugmentConfig())
    assert fingerprint(*same) == fingerprint(*BASE)
    one, two = (nnx.state(nnx.Linear(2, 3, rngs=nnx.Rngs(0))) for _ in range(2))
    assert fingerprint(one) == fingerprint(two)


@pytest.mark.parametrize(
    "other",
    [
        ({"a": np.arange(6, dtype=np.float32) + 1}, ("x", 1), AugmentConfig()),
        ({"a": np.arange(6, dtype=np.float64)}, ("x", 1), AugmentConfig()),
        ({"b": np.arange(6, dtype=np.float32)}, ("x", 1), AugmentConfig()),
        ({"a": np.arange(6, dtype=np.float32)}, ("x", 2), AugmentConfig()),
        ({"a": np.arange(6, dtype=np.float32)}, ("x", "1"), AugmentConfig()),
        ({"a": np.arange(6, dtype=np.float32)}, ("x", 1), AugmentConfig(gain=1.0)),
    ],
    ids=["value", "dtype", "key", "number", "type", "settings"],
)
def test_any_difference_changes_the_fingerprint(other):
    assert fingerprint(*other) != fingerprint(*BASE)


def test_fingerprint_is_the_same_in_another_process():
    """Python's own hash of strings differs between processes."""
    code = "from serjax.runtime.fingerprint import fingerprint; print(fingerprint('clips', {'crop': 'head'}, 3))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == fingerprint("clips", {"crop": "head"}, 3)
