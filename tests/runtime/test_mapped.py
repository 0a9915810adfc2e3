import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from serjax.runtime.mapped import let_go


def resident(path):
    """Return how many bytes of a mapped file count as this process's memory."""
    blocks = Path("/proc/self/smaps").read_text(encoding="utf-8").split("Rss:")
    found = [after for before, after in pairwise(blocks) if str(path) in before.splitlines()[-4]]
    return sum(1024 * int(one.split()[0]) for one in found)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_bytes_that_were_read_are_given_back_and_can_be_read_again(tmp_path):
    np.arange(1 << 18, dtype=np.float32).tofile(tmp_path / "numbers")
    mapped = np.memmap(tmp_path / "numbers", np.uint8, mode="r")
    # As `read_tensors` makes them: of a safetensors file, and of a pickle.
    for part in (
        mapped[4 : 1 << 20].view(np.float32)[:-1].reshape(-1, 2).T,
        np.ndarray((1 << 17,), np.float32, mapped[:].data),
    ):
        before = part.copy()
        assert resident(tmp_path / "numbers") >= part.nbytes
        let_go(part)
        assert resident(tmp_path / "numbers") <= 1 << 19
        np.testing.assert_array_equal(part, before)


def test_of_other_arrays_nothing_happens():
    array = np.arange(5)
    let_go(array[1:])
    let_go(np.frombuffer(b"1234", np.uint8))
    assert array.tolist() == [0, 1, 2, 3, 4]
