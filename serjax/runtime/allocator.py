"""Let the C library keep the memory it has: on a CPU every step otherwise gives its buffers back and asks for new ones.

glibc maps each large array anew and unmaps it after use; the kernel then clears every page again. With mapping turned
off and a large reserve kept, a training step on two cores spends its time computing (docs/results/benchmarks.md).
"""

import contextlib
import ctypes
import os

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8
"""Parameters of mallopt(3)."""


def keep_memory() -> None:
    """Set glibc's allocator so; where there is no glibc, or SERJAX_ALLOCATOR=system is set, leave it as it is."""
    if os.environ.get("SERJAX_ALLOCATOR") == "system":
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_MMAP_MAX, 0)
    # Threads' own arenas are mapped and trimmed in pieces of 64 MiB, whatever else is set.
    mallopt(_ARENA_MAX, 1)
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(_TOP_PAD, 64 << 20)


def give_back_memory() -> None:
    """Give what the C library keeps free back to the system, where it is glibc."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
