"""Arrays that are mapped from files: memory that counts as the process's own as long as it has been read."""

import mmap

import numpy as np


def let_go(array: np.ndarray) -> None:
    """Give the memory of an array's bytes back, where they are mapped from a file; they are read again when needed.

    Args:
        array: any array, such as one that `read_tensors` returns; of one that is not mapped nothing happens.
    """
    base: object = array
    while base is not None and not isinstance(base, mmap.mmap):
        base = base.obj if isinstance(base, memoryview) else getattr(base, "base", None)
    if base is None or not hasattr(mmap, "MADV_DONTNEED"):  # Windows has not
        return
    first = array.ctypes.data - np.frombuffer(base, np.uint8).ctypes.data
    start = first // mmap.PAGESIZE * mmap.PAGESIZE
    base.madvise(mmap.MADV_DONTNEED, start, first + array.nbytes - start)
