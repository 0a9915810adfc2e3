"""Arrays in .npy files come back, and headers that lie are refused before memory is allotted."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.runtime.arrays import read_array
from serjax.runtime.errors import UserError


def npy(values):
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


@pytest.mark.parametrize("values", [np.arange(6.0).reshape(2, 3), np.float32(3), np.asfortranarray(np.eye(3))])
def test_an_array_comes_back(tmp_path, values):
    (tmp_path / "x.npy").write_bytes(npy(values))
    np.testing.assert_array_equal(read_array(tmp_path / "x.npy"), values)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-8],
        lambda data: data + b"12345678",
        lambda data: data.replace(b"(2, 3)", b"(2, 99999999999)"),
        lambda data: data.replace(b"<f8", b"|O "),
        lambda data: b"",
    ],
)
def test_a_header_that_does_not_fit_the_file_is_refused(tmp_path, damage):
    (tmp_path / "x.npy").write_bytes(damage(npy(np.arange(6.0).reshape(2, 3))))
    with pytest.raises(UserError, match=r"x\.npy: it cannot be read as an array \(.+\); fetch it again\.$"):
        read_array(tmp_path / "x.npy")


@settings(max_examples=40)
@given(at=st.integers(0, 130), byte=st.integers(0, 255))
def test_any_changed_byte_is_read_or_refused_in_a_sentence(tmp_path_factory, at, byte):
    path = tmp_path_factory.mktemp("array") / "x.npy"
    data = bytearray(npy(np.arange(6.0).reshape(2, 3)))
    data[at] = byte
    path.write_bytes(data)
    # Any other error fails the test.
    with contextlib.suppress(UserError):
        read_array(path)
