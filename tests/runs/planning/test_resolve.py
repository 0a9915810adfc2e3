"""An experiment for a plan: the corpus's size, and a checkpoint's layout without its weights."""

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from serjax.config.experiment import Experiment
from serjax.data.config import DataConfig, FoldsConfig
from serjax.models.encoders.config import preset
from serjax.models.speech import Speech
from serjax.models.video import Video
from serjax.runs.planning.resolve import extent, resolved
from serjax.runtime.errors import UserError
from serjax.training.config import TrainConfig

PLAIN = Experiment("x", model=Speech(size="tiny"))


def test_a_corpus_that_is_not_at_hand():
    found = extent(replace(PLAIN, train=TrainConfig(seeds=2, learning_rates=(1e-3, 1e-4))), 1000)
    assert (found.folds, found.train, found.validation, found.classes) == (20, 640, 160, 8)
    assert "1000 clips" in found.note
    single = extent(replace(PLAIN, folds=FoldsConfig(kind="split")), 1000)
    assert single.folds == 1
    assert extent(replace(PLAIN, folds=FoldsConfig(only=(1, 3)))).folds == 2
    groups = FoldsConfig(kind="speaker_groups", groups=("a", "b,c", "d"))
    assert extent(replace(PLAIN, folds=groups)).folds == 3


def test_folds_that_depend_on_the_corpus():
    with pytest.raises(UserError, match=r"leave_speaker_out.*--data\.root"):
        extent(replace(PLAIN, folds=FoldsConfig(kind="leave_speaker_out")))


def test_a_corpus_at_hand(tmp_path):
    for label in ("high", "low", "middle"):
        (tmp_path / label).mkdir()
        for number in range(10):
            soundfile.write(tmp_path / label / f"{number}.wav", np.full(800, 0.1), 16000)
    found = extent(replace(PLAIN, data=DataConfig(root=str(tmp_path)), folds=FoldsConfig(count=2)))
    assert (found.folds, found.classes) == (2, 3)
    assert found.train + found.validation == 15
    assert "30 clips" in found.note


def test_a_checkpoint_without_weights(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(preset("wavlm", "tiny").to_dict()))
    model = resolved(Experiment("x", model=Speech(checkpoint=str(tmp_path)))).model
    assert model.encoder.config.model_type == "wavlm"
    assert model.frozen == "cnn"


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (Speech(size="tiny", freeze="encoder"), "heads .and adapters. are trained"),
        (Speech(), "both missing"),
        (Speech(checkpoint="no/such/place/at all"), "no such directory"),
    ],
)
def test_experiments_that_cannot_be_planned(model, told):
    with pytest.raises(UserError, match=told):
        resolved(Experiment("x", model=model))


def test_face_features_have_an_unknown_width():
    model = Video()
    model = replace(model, video=replace(model.video, face_features="au.npz"))
    with pytest.raises(UserError, match="face-features"):
        resolved(Experiment("x", model=model))
