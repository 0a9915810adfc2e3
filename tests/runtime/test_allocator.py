"""glibc's allocator: what is set, and where it is left alone."""

import ctypes
import subprocess
import sys

import pytest

from serjax.runtime.allocator import keep_memory

FAULTS = """
import resource
import sys
import numpy as np
from serjax.runtime.allocator import keep_memory

if sys.argv[1] == "kept":
    keep_memory()
np.ones(1 << 22)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(1 << 22)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def is_glibc():
    return hasattr(ctypes.CDLL(None), "gnu_get_libc_version")


@pytest.mark.skipif(not is_glibc(), reason="mallopt is glibc's")
def test_freed_memory_is_used_again_without_page_faults():
    faults = {}
    for kind in ("kept", "given back"):
        done = subprocess.run([sys.executable, "-c", FAULTS, kind], capture_output=True, text=True, check=True)
        faults[kind] = int(done.stdout)
    # 32 MiB are 8192 pages (or 16 of 2 MiB).
    assert faults["kept"] < faults["given back"] / 4


class Recorder:
    """Stands for the C library."""

    calls = ()

    def mallopt(self, parameter, value):
        self.calls = (*self.calls, (parameter, value))


def test_mapping_is_turned_off_and_a_reserve_kept(monkeypatch):
    library = Recorder()
    monkeypatch.delenv("SERJAX_ALLOCATOR", raising=False)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    keep_memory()
    # M_MMAP_MAX, M_ARENA_MAX, M_TRIM_THRESHOLD and M_TOP_PAD of malloc.h.
    assert dict(library.calls) == {-4: 0, -8: 1, -1: 2**31 - 1, -2: 64 * 2**20}


def test_environment_variable_leaves_the_allocator_alone(monkeypatch):
    library = Recorder()
    monkeypatch.setenv("SERJAX_ALLOCATOR", "system")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    keep_memory()
    assert library.calls == ()


@pytest.mark.parametrize("error", [AttributeError, OSError, TypeError])
def test_systems_without_glibc_are_left_alone(monkeypatch, error):
    def missing(name):
        raise error

    monkeypatch.delenv("SERJAX_ALLOCATOR", raising=False)
    monkeypatch.setattr(ctypes, "CDLL", missing)
    keep_memory()
