"""Frames for clustering: batches, padded chunks, and frames that are not finite."""

from functools import cache

import numpy as np

from serjax.features import frame_source
from serjax.features.config import ClusterConfig
from serjax.features.kmeans import fit_minibatch


@cache
def blobs(count=6000, width=8, centroids=12, spread=1.0, seed=0):
    """Return frames around centroids that lie far from zero, as hidden states do."""
    rng = np.random.default_rng(seed)
    middle = rng.normal(20, 3, (centroids, width))
    return (middle[rng.integers(0, centroids, count)] + spread * rng.normal(size=(count, width))).astype(np.float32)


def test_resident_and_memory_mapped_frames_give_equal_centroids(tmp_path, monkeypatch):
    np.save(tmp_path / "frames.npy", blobs())
    config = ClusterConfig(clusters=9, batch_size=500, starts=3, patience=10)
    read = fit_minibatch(np.load(tmp_path / "frames.npy", mmap_mode="r"), config)
    monkeypatch.setattr(frame_source, "_fits", lambda frames, mesh: True)
    resident = fit_minibatch(blobs(), config)
    np.testing.assert_allclose(read.centroids, resident.centroids, rtol=1e-5)
    assert read.steps == resident.steps
