"""scikit-learn's k-means as joblib or pickle wrote it: read without running anything that the file names."""

import os
import pickle

import joblib
import numpy as np
import pytest
from sklearn.cluster import KMeans, MiniBatchKMeans

from serjax.checkpoints.centroids import read_centroids
from serjax.runtime.errors import UserError

FRAMES = np.random.default_rng(0).normal(size=(200, 7))


def fitted(kind=MiniBatchKMeans, dtype=np.float32):
    model = kind(5, n_init=2, random_state=np.random.RandomState(1)).fit(FRAMES.astype(dtype))
    # Until version 0.24 models kept the state of their random numbers.
    model.random_state_ = np.random.RandomState(3)
    model.inertia_ = np.float64(2)
    return model


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("writer", [joblib, pickle])
@pytest.mark.parametrize("kind", [KMeans, MiniBatchKMeans])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scikit_learns_centroids_are_read(tmp_path, protocol, writer, kind, dtype):
    model = fitted(kind, dtype)
    with (tmp_path / "km.bin").open("wb") as file:
        writer.dump(model, file, protocol=protocol)
    np.testing.assert_allclose(read_centroids(tmp_path / "km.bin"), model.cluster_centers_, rtol=1e-6)


def test_pickles_of_older_scikit_learn_and_numpy_are_read(tmp_path):
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


class Toucher:
    """Makes a folder when it is unpickled as Python would."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_code_in_a_pickle_is_not_run(tmp_path, protocol):
    proof = tmp_path / "proof"
    model = fitted()
    model.labels_ = Toucher(proof)
    joblib.dump(model, tmp_path / "km.bin", protocol=protocol)
    with pytest.raises(UserError, match=r"km\.bin: the pickle asks for .*not run"):
        read_centroids(tmp_path / "km.bin")
    assert not proof.exists()
    joblib.load(tmp_path / "km.bin")
    assert proof.exists()


def test_unfitted_kmeans_is_refused(tmp_path):
    joblib.dump(KMeans(3), tmp_path / "km.bin")
    with pytest.raises(UserError, match="this is no k-means that scikit-learn fitted"):
        read_centroids(tmp_path / "km.bin")


@pytest.mark.parametrize("compress", [("zlib", 3), ("gzip", 3), ("bz2", 3), ("lzma", 3), ("xz", 3)])
def test_compressed_joblib_file_is_refused(tmp_path, compress):
    joblib.dump(fitted(), tmp_path / "km.bin", compress=compress)
    with pytest.raises(UserError, match=r"compressed; write it again with joblib\.dump"):
        read_centroids(tmp_path / "km.bin")
