"""Arrays in .npy and .npz files come back, and headers that lie are refused before memory is allotted."""

import contextlib
import io
import os
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serjax.runtime.arrays import LARGEST, read_archive, read_array
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


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_of_an_archive_come_back(tmp_path, save):
    save(tmp_path / "x.npz", a=np.arange(6.0).reshape(2, 3), b=np.array(["x", "y"]))
    names, values = read_archive(tmp_path / "x.npz", ["b", "a"])
    assert names.tolist() == ["x", "y"]
    np.testing.assert_array_equal(values, [[0, 1, 2], [3, 4, 5]])


def test_an_archive_that_unfolds_to_gigabytes_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", npy(np.zeros((1, 4))).replace(b"(1, 4)", b"(9, 4)"))
        archive.getinfo("a.npy").file_size = LARGEST + 1
    with pytest.raises(UserError, match=r"its array a unfolds to 1,073,741,825 bytes"):
        read_archive(tmp_path / "x.npz", ["a"])


def test_a_pipe_in_the_place_of_a_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "x")
    for read in (read_array, lambda path: read_archive(path, ["a"])):
        with pytest.raises(UserError, match=r"it is no regular file"):
            read(tmp_path / "x")


@settings(max_examples=40)
@given(at=st.integers(0, 1000), byte=st.integers(0, 255))
def test_an_archive_with_any_changed_byte_is_read_or_refused(tmp_path_factory, at, byte):
    path = tmp_path_factory.mktemp("archive") / "x.npz"
    np.savez_compressed(path, a=np.arange(6.0).reshape(2, 3))
    data = bytearray(path.read_bytes())
    data[at % len(data)] = byte
    path.write_bytes(data)
    with contextlib.suppress(UserError):
        read_archive(path, ["a"])
