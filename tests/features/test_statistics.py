"""Means and deviations of features over each fold's training clips: equality with NumPy, and what is kept on disk."""

import jax
import numpy as np
import pytest
from flax import nnx

from serjax.audio.spectrogram import RAVDESS_AUDIO, log_mel
from serjax.data.store.face_features import FaceFeatures
from serjax.features.statistics import face_feature_moments, standardization
from serjax.models.base import Standardized
from serjax.models.front_end import FrontEnd

LENGTHS = (1_600, 900, 2_400, 1_600)
TRAIN = [(0, 1, 2), (1, 3)]
FRONT = FrontEnd(RAVDESS_AUDIO, 0.1)


class Clips:
    """A store of noise."""

    def __init__(self, changed=None):
        self.waves = [
            np.random.default_rng(n).normal(0, 0.1, size).astype(np.float32) for n, size in enumerate(LENGTHS)
        ]
        if changed is not None:
            self.waves[changed] *= 5
        self.lengths = np.array(LENGTHS)
        self.hashes = tuple(str(wave.sum()) for wave in self.waves)
        self.utterances = [type("Clip", (), {"id": f"clip{n}"}) for n in range(len(LENGTHS))]

    def __len__(self):
        return len(self.waves)

    def clip(self, i):
        return self.waves[i]


def moments(clips, folder, crop="head"):
    state = standardization(Standardized(("net", "standardize"), FRONT), clips, TRAIN, crop=crop, folder=folder)
    return {path: np.asarray(leaf[...]) for path, leaf in nnx.to_flat_state(state)}


def test_moments_weigh_every_clip_alike_and_use_its_true_frames(tmp_path):
    found = moments(Clips(), tmp_path)
    call = jax.jit(lambda wave: log_mel(wave, RAVDESS_AUDIO)[0].T)
    means, variances = [], []
    for wave in Clips().waves:
        own = wave[:1_600]
        image = np.asarray(call(np.pad(own, (0, 1_600 - len(own)))[None]), np.float64)
        frames = image[: min(len(own) // RAVDESS_AUDIO.hop + 1, len(image))]
        means.append(frames.mean(0))
        variances.append(frames.var(0))
    for k, train in enumerate(TRAIN):
        rows = [means[i] for i in train]
        deviation = np.sqrt(np.mean([variances[i] for i in train], 0) + np.var(rows, 0))
        np.testing.assert_allclose(found["net", "standardize", "mean"][k], np.mean(rows, 0), atol=1e-3)
        np.testing.assert_allclose(found["net", "standardize", "deviation"][k], deviation, rtol=1e-3, atol=1e-3)


def test_clips_of_other_folds_change_nothing(tmp_path):
    before, after = moments(Clips(), tmp_path), moments(Clips(changed=3), tmp_path)
    for path, values in before.items():
        np.testing.assert_array_equal(values[0], after[path][0])
        assert not np.array_equal(values[1], after[path][1])


def test_features_are_computed_once(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO", "serjax")
    before = moments(Clips(), tmp_path)
    assert len(list(tmp_path.glob("[0-9a-f]*"))) == 1
    monkeypatch.setattr(Clips, "clip", lambda self, i: pytest.fail("read again"))
    after = moments(Clips(), tmp_path)
    for path, values in before.items():
        np.testing.assert_array_equal(after[path], values)
    assert caplog.text.count("Features of 4 clips") == 1


def test_another_crop_has_features_of_its_own(tmp_path):
    head, centre = moments(Clips(), tmp_path, "head"), moments(Clips(), tmp_path, "centre")
    # Clip 2 alone is longer than the input, and fold 2 does not train on it.
    for path, values in head.items():
        assert not np.array_equal(values[0], centre[path][0])
        np.testing.assert_array_equal(values[1], centre[path][1])


def test_moments_of_face_features_are_those_of_numpy():
    values = np.random.default_rng(0).normal(2, 3, (6, 1, 4)).astype(np.float32)
    train = [(0, 2, 4), (1, 5)]
    found = dict(nnx.to_flat_state(face_feature_moments(FaceFeatures(values), train, ("video", "standardize"))))
    for name, function in (("mean", np.mean), ("deviation", np.std)):
        leaf = found["video", "standardize", name]
        assert isinstance(leaf, nnx.BatchStat)
        np.testing.assert_allclose(leaf[...], [function(values[list(t), 0], axis=0) for t in train], rtol=1e-5)
