"""Masked prediction of a run's labels: encoders written fold by fold, logs, and labels that do not fit."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_pretraining import small, weights

from serjax.checkpoints.huggingface import load_encoder
from serjax.data.store.frame_labels import FrameGrid, FrameLabels, write_labels
from serjax.models.encoders.config import preset
from serjax.runs.pretraining import masked_prediction as step
from serjax.runs.pretraining.corpus import read_material
from serjax.runs.pretraining.masked_prediction import predict_masked
from serjax.runs.starts import find_encoder
from serjax.runtime.errors import UserError
from serjax.training.metric_log import read_history


def test_encoders_keep_the_layout_of_their_start_and_differ_by_fold(run):
    folders = [run.run_dir / f"fold_{fold}" / "encoder" for fold in (1, 2)]
    loaded = [load_encoder(str(folder)) for folder in folders]
    assert all(one.encoder.config == preset("hubert", "tiny") for one in loaded)
    first, second = map(weights, folders)
    assert any(not np.array_equal(first[name], second[name]) for name in first)


def test_log_has_a_row_for_every_save_of_each_fold(run):
    for fold in (1, 2):
        rows = read_history(run.run_dir / f"fold_{fold}")
        assert [(row["fold"], row["epoch"]) for row in rows] == [(fold, 2), (fold, 4)]
        assert all(np.isfinite(row["train_masked_loss"]) for row in rows)
        assert all(0 <= row["train_masked_accuracy"] <= 1 for row in rows)


def test_encoders_that_are_there_are_not_trained_again(run, monkeypatch):
    monkeypatch.delattr(step, "pretrain")
    labels = [FrameLabels(run.run_dir / f"fold_{fold}" / "labels") for fold in (1, 2)]
    predict_masked(run, read_material(run, by_fold=False), labels, find_encoder("hubert", "tiny", None))


def refused(run, out, labels, **changes):
    experiment = small(run.data.root, out, **changes)
    material = read_material(experiment, by_fold=False)
    own = write_labels(out / "labels", labels(material), 4, FrameGrid(), {})
    with pytest.raises(UserError) as raised:
        predict_masked(experiment, material, [own, own], find_encoder("hubert", "tiny", None))
    return str(raised.value)


def whole(material):
    grid = FrameGrid()
    return {
        name: np.zeros(grid.frames(int(length)), np.uint16)
        for name, length in zip(material.clips.names, material.clips.lengths, strict=True)
    }


def test_labels_of_other_clips_or_lengths_are_refused(run, tmp_path):
    assert "high/spk0_0" in refused(run, tmp_path / "a", lambda m: {n: v for n, v in whole(m).items() if n[-1] != "0"})
    assert "high/spk0_0" in refused(run, tmp_path / "b", lambda m: {n: v[:-3] for n, v in whole(m).items()})


def test_less_audio_than_a_batch_is_refused(run, tmp_path):
    message = refused(run, tmp_path, whole, masked=replace(run.masked, seconds=1e4))
    assert "less than one batch" in message
