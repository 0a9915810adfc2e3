"""Centroids come back as they were written, from scikit-learn's files too, and no code in a file is run."""

import pickle

import joblib
import numpy as np
import pytest
from sklearn.cluster import MiniBatchKMeans

from serjax.checkpoints.centroids import read_centroids, write_centroids
from serjax.runtime.errors import UserError

FRAMES = np.random.default_rng(0).normal(size=(200, 7))


def fitted(kind=MiniBatchKMeans, dtype=np.float32):
    model = kind(5, n_init=2, random_state=np.random.RandomState(1)).fit(FRAMES.astype(dtype))
    # Until version 0.24 models kept the state of their random numbers.
    model.random_state_ = np.random.RandomState(3)
    model.inertia_ = np.float64(2)
    return model


def test_safetensors_come_back(tmp_path):
    centroids = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    write_centroids(tmp_path / "a" / "centres.safetensors", centroids)
    np.testing.assert_array_equal(read_centroids(tmp_path / "a" / "centres.safetensors"), centroids)


@pytest.mark.parametrize("order", ["C", "F"])
def test_bare_arrays_are_read(tmp_path, order):
    centroids = np.asarray(FRAMES[:4], np.float32, order=order)
    joblib.dump(centroids, tmp_path / "centroids.joblib")
    np.save(tmp_path / "centroids.npy", centroids)
    (tmp_path / "centroids.pkl").write_bytes(pickle.dumps(centroids))
    for name in ("centroids.joblib", "centroids.npy", "centroids.pkl"):
        np.testing.assert_array_equal(read_centroids(tmp_path / name), centroids)


@pytest.mark.parametrize("value", [[1, 2], {"k": 3}, None, np.zeros(3), np.zeros((3, 2), int), np.zeros((0, 2))])
def test_other_things_get_a_sentence(tmp_path, value):
    joblib.dump(value, tmp_path / "km.joblib")
    with pytest.raises(UserError, match=r"km\.joblib: (this is no k-means|it holds)") as raised:
        read_centroids(tmp_path / "km.joblib")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["km.bin", "centres.safetensors", "centroids.npy"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9])
def test_a_truncated_file_is_one_sentence(tmp_path, name, share):
    path = tmp_path / name
    if name == "km.bin":
        joblib.dump(fitted(), path)
    elif name.endswith(".npy"):
        np.save(path, FRAMES)
    else:
        write_centroids(path, FRAMES)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=name) as raised:
        read_centroids(path)
    assert "\n" not in str(raised.value)


def test_what_is_no_table_of_numbers_gets_a_sentence(tmp_path):
    with pytest.raises(UserError, match="there is no such file of centroids"):
        read_centroids(tmp_path / "nothing.bin")
    write_centroids(tmp_path / "bad.safetensors", np.array([[1.0, np.nan]]))
    with pytest.raises(UserError, match="NaN"):
        read_centroids(tmp_path / "bad.safetensors")
