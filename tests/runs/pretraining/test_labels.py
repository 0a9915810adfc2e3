"""Labels of frames: of all clips, by centroids of what a part hears; found again by a later call."""

import numpy as np
import pytest
from tiny_pretraining import small

from serjax.checkpoints.centroids import read_centroids
from serjax.config.pretraining import LabelsConfig
from serjax.data.store.frame_labels import FrameLabels
from serjax.runs.pretraining import labels as step
from serjax.runs.pretraining.corpus import Part, read_material
from serjax.runs.pretraining.labels import make_labels, part_folder
from serjax.runtime.errors import UserError


def test_folder_of_a_part(tmp_path):
    assert part_folder(tmp_path, Part(3, (), ())) == tmp_path / "fold_3"
    assert part_folder(tmp_path, Part(0, (), ())) == tmp_path


def test_labels_are_of_every_clip_and_frame(run):
    material = read_material(run, by_fold=False)
    for part in material.parts:
        found = FrameLabels(part_folder(run.run_dir, part) / "labels")
        centroids = read_centroids(part_folder(run.run_dir, part) / "centres.safetensors")
        assert centroids.shape == (4, 39)
        for name, length in zip(material.clips.names, material.clips.lengths, strict=True):
            own = found.of(name)
            assert len(own) == found.grid.frames(int(length))
            assert own.max() < len(centroids)
        assert found.source["of"] == "mfcc"
        assert found.source["clips_heard"] == len(part.train)


def test_centroids_are_fitted_on_what_a_part_hears(run):
    one, other = (read_centroids(run.run_dir / f"fold_{fold}" / "centres.safetensors") for fold in (1, 2))
    assert np.abs(one - other).max() > 1e-3


def test_given_centroids_are_used_and_not_fitted(run, tmp_path, monkeypatch):
    monkeypatch.delattr(step, "fit_minibatch")
    path = run.run_dir / "fold_1" / "centres.safetensors"
    experiment = small(run.data.root, tmp_path, labels=LabelsConfig(of="mfcc", centroids=str(path)))
    material = read_material(experiment, by_fold=False)
    found = make_labels(experiment, material, None)
    before = FrameLabels(run.run_dir / "fold_1" / "labels")
    for name in material.clips.names:
        for own in found:
            np.testing.assert_array_equal(own.of(name), before.of(name))


def test_labels_of_an_earlier_call_are_found_again(run, monkeypatch):
    monkeypatch.delattr(step, "frame_features")
    found = make_labels(run, read_material(run, by_fold=False), None)
    assert [len(own) for own in found] == [24, 24]


def test_centroids_of_another_width_are_refused(run, tmp_path):
    np.save(tmp_path / "centroids.npy", np.zeros((4, 7), np.float32))
    settings = LabelsConfig(of="mfcc", centroids=str(tmp_path / "centroids.npy"))
    experiment = small(run.data.root, tmp_path, labels=settings)
    with pytest.raises(UserError, match=r"have 7 values and frames 39"):
        make_labels(experiment, read_material(experiment, by_fold=False), None)
