"""Videos without sound: trained, saved and asked by a model that looks at pictures alone."""

import json
import shlex
from dataclasses import replace

import numpy as np
import pytest
from flax import nnx

import serjax
from serjax.config.experiment import Experiment
from serjax.data.config import DataConfig, FoldsConfig
from serjax.evaluation.out_of_fold import read_oof_csv
from serjax.models.fusion.config import Fusion
from serjax.models.networks import resnet
from serjax.models.video import Video
from serjax.predict import main as predict_main
from serjax.runs.finetune import experiment_data, train
from serjax.runtime.errors import UserError
from serjax.training.config import TrainConfig
from serjax.video.config import VideoAugment, VideoConfig


class Mean(nnx.Module):
    """Stands for the ResNet, which compiles slowly: a Linear layer on a picture's mean colour."""

    def __init__(self, *, rngs):
        self.conv1 = nnx.Linear(3, 512, rngs=rngs)

    def __call__(self, image, real=None, trained=None):
        return self.conv1(image.mean(axis=(1, 2)))


@pytest.fixture
def filmed(tmp_path, film, monkeypatch):
    """Videos of two labels by four speakers, none with sound, and a model of them that compiles quickly."""
    monkeypatch.setattr(resnet, "ResNet18", Mean)
    rng = np.random.default_rng(0)
    for label in ("anger", "happy"):
        (tmp_path / "films" / label).mkdir(parents=True)
        for speaker in range(4):
            pictures = rng.integers(0, 120, (2, 48, 48, 3), np.uint8) + np.uint8(120 * (label == "happy"))
            film(tmp_path / "films" / label / f"{label}_spk{speaker}.mp4", pictures)
    still = VideoAugment(blur_p=0.0, brightness_p=0.0, noise_p=0.0)
    pictures = VideoConfig(frames=2, size=32, faces=False, augment=still)
    return Experiment(
        name="silent",
        data=DataConfig(root=str(tmp_path / "films"), speaker_pattern=r"(?P<speaker>spk\d)"),
        folds=FoldsConfig(count=2),
        model=Video(video=pictures),
        train=TrainConfig(epochs=2, batch_size=4),
        out=str(tmp_path),
    )


@pytest.mark.slow
def test_silent_videos_are_trained_and_asked(filmed, tmp_path, film, capsys, caplog):
    caplog.set_level("INFO", "serjax")
    train(filmed, "the command")
    oof = read_oof_csv(filmed.run_dir / "oof.csv")
    model, row = serjax.load(filmed.run_dir, [1.0, 0.0], raw=True), int(np.flatnonzero(oof.fold == 1)[0])
    path = tmp_path / "films" / f"{oof.ids[row]}.mp4"
    answer = {entry["label"]: entry["score"] for entry in model(path)}
    np.testing.assert_allclose([answer[label] for label in oof.labels], oof.probability[row], atol=1e-5)
    told = "\n".join(caplog.messages).splitlines()
    shown = next(line for line in told if line.startswith("python -m serjax.predict"))
    assert predict_main([*shlex.split(shown)[3:], "--json"]) == 0
    with pytest.raises(UserError, match=r"clip\.wav: it has no video"):
        model("clip.wav")
    assert "Their sound is not used." in (filmed.run_dir / "README.md").read_text()
    # Sound, of whatever rate, neither changes the answer nor is spoken of.
    pictures = np.full((2, 48, 48, 3), 60, np.uint8)
    sounding = film(tmp_path / "sounding.mp4", pictures, tone=0.5)
    capsys.readouterr()
    assert predict_main([str(filmed.run_dir), str(sounding), "--json"]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert predict_main([str(filmed.run_dir), str(film(tmp_path / "silent.mp4", pictures)), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scores"] == json.loads(told.out)["scores"]


def test_copies_of_a_silent_video_are_found_and_a_fusion_asks_for_sound(filmed, tmp_path):
    films = tmp_path / "films"
    (films / "happy" / "again_spk1.mp4").write_bytes((films / "happy" / "happy_spk0.mp4").read_bytes())
    data = experiment_data(replace(filmed, seed=1))
    assert any("happy/again_spk1 and happy/happy_spk0 hold the same samples" in note for note in data.leakage_notes)
    assert set(data.store.lengths) == {0}
    (films / "anger" / "again_spk1.mp4").write_bytes((films / "happy" / "happy_spk0.mp4").read_bytes())
    with pytest.raises(UserError, match="hold the same samples, but are labelled anger and happy"):
        experiment_data(filmed)
    with pytest.raises(
        UserError, match=r"none of its 10 videos has sound .* or train --exp video, which needs no sound"
    ):
        experiment_data(replace(filmed, model=Fusion()))
