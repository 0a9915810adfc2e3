"""K-means on the devices: scikit-learn's distances, starts and inertia; bad frames are one sentence."""

from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import MiniBatchKMeans

from serjax.audio.decode import decode
from serjax.audio.spectrogram import RAVDESS_AUDIO, log_mel, mfcc
from serjax.features import kmeans
from serjax.features.config import ClusterConfig
from serjax.features.frame_source import FrameSource
from serjax.features.kmeans import assign, fit_minibatch, inertia
from serjax.runtime.errors import UserError

REAL = Path(__file__).parents[2] / "../shared/data/ravdess/Actor_01"


@cache
def blobs(count=6000, width=8, centroids=12, spread=1.0, seed=0):
    """Return frames around centroids that lie far from zero, as hidden states do."""
    rng = np.random.default_rng(seed)
    middle = rng.normal(20, 3, (centroids, width))
    return (middle[rng.integers(0, centroids, count)] + spread * rng.normal(size=(count, width))).astype(np.float32)


@cache
def speech():
    """Return 39 values of each frame of a speaker's clips."""
    if not REAL.exists():
        pytest.skip("needs RAVDESS in ../shared/data")
    waves = [decode(path) for path in sorted(REAL.glob("*.flac"))]
    call = jax.jit(lambda wave: mfcc(log_mel(wave, RAVDESS_AUDIO), 39)[0].T)
    return np.concatenate([np.asarray(call(wave[None, :48_000])) for wave in waves if len(wave) >= 48_000])


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 5), st.integers(0, 99))
def test_the_nearest_centre_is_found(frames, clusters, width, seed):
    rng = np.random.default_rng(seed)
    offset = rng.choice([0, 50])
    x = (offset + rng.normal(size=(frames, width))).astype(np.float32)
    centroids = (offset + rng.normal(size=(clusters, width))).astype(np.float32)
    squares = np.square(x[:, None].astype(np.float64) - centroids).sum(-1)
    label = assign(x, centroids)
    assert label.dtype == np.uint16
    np.testing.assert_allclose(squares[np.arange(frames), label], squares.min(1), atol=1e-3)
    assert inertia(x, centroids) == pytest.approx(squares.min(1).mean(), abs=1e-3)


def test_of_equal_centroids_the_first_counts_alone():
    centroids = np.array([[3.0], [1.0], [1.0]], np.float32)
    np.testing.assert_array_equal(assign(np.ones((5, 1), np.float32), centroids), [1] * 5)


@pytest.mark.parametrize("frames", [blobs, speech])
@pytest.mark.parametrize("clusters", [12, 50])
def test_mini_batches_reach_scikit_learns_inertia(frames, clusters):
    x = frames()
    config = ClusterConfig(clusters=clusters, batch_size=1000, starts=8)
    theirs = MiniBatchKMeans(
        clusters,
        init="k-means++",
        max_iter=config.passes,
        batch_size=config.batch_size,
        tol=0,
        n_init=config.starts,
        reassignment_ratio=0,
        max_no_improvement=config.patience,
        random_state=config.seed,
        compute_labels=False,
    ).fit(x)
    expected = -theirs.score(x) / len(x)
    found = fit_minibatch(x, config)
    assert found.inertia <= 1.01 * expected
    assert found.inertia == pytest.approx(inertia(x, found.centroids), rel=1e-5)
    assert found.steps > config.patience


def test_the_same_seed_gives_the_same_centroids():
    config = ClusterConfig(clusters=9, batch_size=500, starts=3, patience=20)
    one, again = fit_minibatch(blobs(), config), fit_minibatch(blobs(), config)
    np.testing.assert_array_equal(one.centroids, again.centroids)
    other = fit_minibatch(blobs(), ClusterConfig(clusters=9, batch_size=500, starts=3, patience=20, seed=1))
    assert np.abs(one.centroids - other.centroids).max() > 1e-3


def test_training_ends_without_improvement_and_at_the_last_pass():
    config = ClusterConfig(clusters=12, batch_size=1000, starts=2, patience=5)
    patient = fit_minibatch(blobs(), ClusterConfig(clusters=12, batch_size=1000, starts=2, patience=40))
    impatient = fit_minibatch(blobs(), config)
    assert 5 < impatient.steps < patient.steps < config.passes * 6
    short = fit_minibatch(blobs(), ClusterConfig(clusters=12, batch_size=1000, starts=2, patience=None, passes=2))
    assert short.steps == 12
    tolerant = ClusterConfig(clusters=12, batch_size=1000, starts=2, patience=None, tolerance=1e-2)
    assert fit_minibatch(blobs(), tolerant).steps < 30


@pytest.mark.slow
def test_light_clusters_start_again_where_asked():
    """Two thirds of the clusters begin where no frame is."""
    x = blobs(centroids=6, spread=0.1)
    config = ClusterConfig(clusters=6, batch_size=600, starts=1, patience=None, passes=20)
    source = FrameSource(x)
    lost = jnp.concatenate([jnp.asarray(x[:2]), jnp.full((4, 8), 1e4)])

    def run(reassign):
        state = kmeans._first(lost)
        for number in range(60):
            batch = source.take(np.random.default_rng(number).integers(0, len(x), 600))
            state = kmeans._step(
                state,
                batch,
                jax.random.key(0),
                config=ClusterConfig(**{**config.__dict__, "reassign": reassign}),
                clusters=6,
                share=0.1,
                variance=0.0,
            )
        return inertia(x, np.asarray(state.centroids))

    assert run(0.01) < 0.7 * run(0.0)


def test_what_cannot_be_clustered_gets_a_sentence():
    bad = blobs().copy()
    bad[4321, 3] = np.nan
    few = ClusterConfig(clusters=4, batch_size=3000, starts=2, patience=5)
    for call in (
        lambda: fit_minibatch(bad, few),
        lambda: assign(bad, blobs()[:4]),
        lambda: inertia(bad, blobs()[:4]),
    ):
        with pytest.raises(UserError, match=r"Frame 4321 of 6000 to cluster holds NaN"):
            call()
    with pytest.raises(UserError, match="too large for float32"):
        inertia(np.full((3, 2), 1e30, np.float32), np.zeros((1, 2), np.float32))
    with pytest.raises(UserError, match=r"Centroids have 7 values and frames 8;"):
        assign(blobs(), np.zeros((3, 7), np.float32))
    with pytest.raises(UserError, match=r"There are 9 frames for 10 clusters"):
        fit_minibatch(blobs()[:9], ClusterConfig(clusters=10))
    with pytest.raises(UserError, match=r"the shape \(3,\)"):
        assign(np.zeros(3, np.float32), np.zeros((1, 1), np.float32))
