"""Means and deviations over each trial's own training clips."""

import numpy as np
import pytest

from serjax.audio.spectrogram import RAVDESS_AUDIO
from serjax.data.store.clips import open_store
from serjax.data.store.face_features import FaceFeatures
from serjax.data.utterance import Utterance
from serjax.features.statistics import face_feature_moments, standardization
from serjax.models.base import Standardized
from serjax.models.front_end import FrontEnd

soundfile = pytest.importorskip("soundfile")


def test_moments_are_those_of_all_frames_of_the_training_clips(tmp_path):
    clips = []
    for i in range(5):
        path = tmp_path / f"{i}.wav"
        soundfile.write(path, np.random.default_rng(i).normal(0, 0.05 * (i + 1), 16_000), 16_000)
        clips.append(Utterance(str(i), path, "sad"))
    store, front = open_store(clips, tmp_path / "clips", skip_bad=False), FrontEnd(RAVDESS_AUDIO, 1.0)
    train = [[0, 1, 2], [3, 4]]
    for _ in range(2):  # computed, and found again
        found = standardization(
            Standardized(("audio", "standardize"), front), store, train, crop="head", folder=tmp_path / "features"
        )["audio"]["standardize"]
    features, frames = front(np.stack([store.clip(i) for i in range(5)]), np.full(5, 16_000))
    assert set(np.asarray(frames)) == {features.shape[1]}
    for k, own in enumerate(train):
        whole = np.asarray(features, np.float64)[own].reshape(-1, features.shape[2])
        np.testing.assert_allclose(found["mean"][...][k], whole.mean(0), rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(found["deviation"][...][k], whole.std(0), rtol=1e-3, atol=1e-3)


def test_face_features_have_moments_of_each_trial():
    values = np.random.default_rng(0).normal(size=(6, 1, 3)).astype(np.float32)
    train = [[0, 2, 4], [1, 5]]
    found = face_feature_moments(FaceFeatures(values), train, ("video", "standardize"))["video"]["standardize"]
    for k, own in enumerate(train):
        np.testing.assert_allclose(found["mean"][...][k], values[own, 0].mean(0), rtol=1e-6)
        np.testing.assert_allclose(found["deviation"][...][k], values[own, 0].std(0), rtol=1e-6)
