"""Centroids come back as they were written, from scikit-learn's files too, and no code in a file is run."""

import os
import pickle

import joblib
import numpy as np
import pytest
from sklearn.cluster import KMeans, MiniBatchKMeans

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


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("writer", [joblib, pickle])
@pytest.mark.parametrize("kind", [KMeans, MiniBatchKMeans])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scikit_learns_centroids_are_read(tmp_path, protocol, writer, kind, dtype):
    model = fitted(kind, dtype)
    with (tmp_path / "km.bin").open("wb") as file:
        writer.dump(model, file, protocol=protocol)
    np.testing.assert_allclose(read_centroids(tmp_path / "km.bin"), model.cluster_centers_, rtol=1e-6)


def test_the_names_of_older_versions_are_known(tmp_path):
    """As in the official files of HuBERT: scikit-learn before 0.22, its own joblib, NumPy before 2."""
    joblib.dump(fitted(), tmp_path / "new.bin", protocol=2)
    content = (tmp_path / "new.bin").read_bytes()
    for new, old in (
        (b"csklearn.cluster._kmeans\n", b"csklearn.cluster.k_means_\n"),
        (b"cjoblib.numpy_pickle\n", b"csklearn.externals.joblib.numpy_pickle\n"),
        (b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"),
    ):
        assert new in content
        content = content.replace(new, old)
    (tmp_path / "old.bin").write_bytes(content)
    np.testing.assert_array_equal(read_centroids(tmp_path / "old.bin"), fitted().cluster_centers_)


@pytest.mark.parametrize("order", ["C", "F"])
def test_bare_arrays_are_read(tmp_path, order):
    centroids = np.asarray(FRAMES[:4], np.float32, order=order)
    joblib.dump(centroids, tmp_path / "centroids.joblib")
    np.save(tmp_path / "centroids.npy", centroids)
    (tmp_path / "centroids.pkl").write_bytes(pickle.dumps(centroids))
    for name in ("centroids.joblib", "centroids.npy", "centroids.pkl"):
        np.testing.assert_array_equal(read_centroids(tmp_path / name), centroids)


class Toucher:
    """Makes a folder when it is unpickled as Python would."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_in_the_file_is_run(tmp_path, protocol):
    proof = tmp_path / "proof"
    model = fitted()
    model.labels_ = Toucher(proof)
    joblib.dump(model, tmp_path / "km.bin", protocol=protocol)
    with pytest.raises(UserError, match=r"km\.bin: the pickle asks for .*not run"):
        read_centroids(tmp_path / "km.bin")
    assert not proof.exists()
    joblib.load(tmp_path / "km.bin")
    assert proof.exists()


@pytest.mark.parametrize("value", [[1, 2], {"k": 3}, None, np.zeros(3), np.zeros((3, 2), int), np.zeros((0, 2))])
def test_other_things_get_a_sentence(tmp_path, value):
    joblib.dump(value, tmp_path / "km.joblib")
    with pytest.raises(UserError, match=r"km\.joblib: (this is no k-means|it holds)") as raised:
        read_centroids(tmp_path / "km.joblib")
    assert "\n" not in str(raised.value)


def test_a_model_that_was_never_fitted_gets_a_sentence(tmp_path):
    joblib.dump(KMeans(3), tmp_path / "km.bin")
    with pytest.raises(UserError, match="this is no k-means that scikit-learn fitted"):
        read_centroids(tmp_path / "km.bin")


@pytest.mark.parametrize("compress", [("zlib", 3), ("gzip", 3), ("bz2", 3), ("lzma", 3), ("xz", 3)])
def test_a_compressed_file_is_named_so(tmp_path, compress):
    joblib.dump(fitted(), tmp_path / "km.bin", compress=compress)
    with pytest.raises(UserError, match=r"compressed; write it again with joblib\.dump"):
        read_centroids(tmp_path / "km.bin")


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
