"""A look before training: its tables hold the corpus's own numbers, and no run folder is left."""

import io
import re
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from rich.console import Console

from serjax.config.experiment import Experiment
from serjax.data.config import DataConfig, FoldsConfig
from serjax.models.speech import Speech
from serjax.runs import dry_run as module
from serjax.runs.dry_run import dry_run
from serjax.runs.finetune import experiment_data
from serjax.runtime import distributed
from serjax.runtime.errors import UserError
from serjax.training.config import TrainConfig


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """Four speakers say two clips of 0.6 s in each of two classes."""
    out = tmp_path_factory.mktemp("look")
    rng = np.random.default_rng(0)
    for label in ("high", "low"):
        (out / "tones" / label).mkdir(parents=True)
        for speaker in range(4):
            for number in range(2):
                wave = rng.normal(0, 0.1, 9600)
                soundfile.write(out / "tones" / label / f"spk{speaker}_{number}.wav", wave, 16000)
    return Experiment(
        name="run",
        data=DataConfig(root=str(out / "tones"), max_seconds=0.4, speaker_pattern=r"spk\d"),
        folds=FoldsConfig(count=2),
        model=Speech(size="tiny", head_size=8),
        train=TrainConfig(epochs=3, batch_size=4),
        out=str(out),
    )


def printed(experiment):
    file = io.StringIO()
    show(experiment, file)
    return file.getvalue()


def show(experiment, file):
    for table in dry_run(experiment):
        Console(file=file, width=80).print(table)


def rows(text):
    return [line.split() for line in text.splitlines() if line.strip()]


def test_folds_sound_suspicions_and_cost_are_told(experiment, caplog):
    caplog.set_level("INFO", "serjax")
    text = printed(experiment)
    lines = rows(text)
    assert ["all", "16", "4", "0.2"] in lines
    data = experiment_data(experiment)
    for fold in data.folds:
        tested = ",".join(sorted({data.store.utterances[i].speaker for i in fold.test}))
        assert [str(fold.number), "train", "4", "1", "0.0", "2", "of", "2", "2", "high"] in lines
        assert ["test", "8", "2", "0.1", "2", "of", "2", "4", "high", tested] in lines
    assert "clips that are longer" in text
    assert "16 of 16 (100%)" in text
    assert text.count("33% of the sound") == 2
    told = "- Classes of fewer than 20 clips (high 8, low 8): one answer moves a recall by up to 12 points."
    assert told in " ".join(text.split())
    assert "measured on zeros" in text
    assert "timed three times on zeros" in caplog.text
    assert ["folds", "x", "seeds", "x", "rates,", "of", "which", "at", "once", "2,", "1"] in lines
    assert max(map(len, text.splitlines())) <= 80
    assert not experiment.whole_dir.exists()
    assert not list(experiment.whole_dir.parent.glob(".*"))


def test_only_chosen_folds_are_shown(experiment, monkeypatch):
    monkeypatch.setattr(module, "_cost", lambda *_: "")
    text = printed(replace(experiment, folds=replace(experiment.folds, only=(2,), validation="test")))
    assert ["2", "train", "8", "2", "0.1", "2", "of", "2", "4", "high"] in rows(text)
    assert not [line for line in rows(text) if line[:2] == ["1", "train"]]
    assert "These scores are optimistic" in text


def test_a_frozen_encoder_is_told_by_its_features(experiment):
    model = replace(experiment.model, freeze="encoder", pooling="mean")
    text = printed(replace(experiment, model=model))
    assert "never heard in training, on features of the same crops" in text
    assert "features in memory and on disk, GiB" in text
    assert "measured" not in text


def test_what_does_not_fit_is_not_timed(experiment, monkeypatch):
    monkeypatch.setattr("serjax.runs.planning.plan.SPARE", 0.0)
    text = printed(experiment)
    assert "It may not fit, and was not timed" in text
    assert "measured" not in text


def test_a_model_that_is_refused_is_told_behind_clips_and_folds(experiment, tmp_path):
    file = io.StringIO()
    with pytest.raises(UserError, match=re.escape(str(tmp_path))):
        show(replace(experiment, model=Speech(checkpoint=str(tmp_path))), file)
    assert ["all", "16", "4", "0.2"] in rows(file.getvalue())
    assert "Suspicious" in file.getvalue()


def test_what_training_refuses_is_refused(experiment, monkeypatch):
    with pytest.raises(UserError, match=r"train\.epochs is 0"):
        printed(replace(experiment, train=TrainConfig(epochs=0)))
    with pytest.raises(UserError, match="there is no fold 7"):
        printed(replace(experiment, folds=FoldsConfig(count=2, only=(7,))))
    with pytest.raises(UserError, match="the model's first frame takes"):
        printed(replace(experiment, data=replace(experiment.data, max_seconds=0.02)))
    monkeypatch.setattr(distributed, "several", lambda: True)
    with pytest.raises(UserError, match="--dry-run looks at one machine"):
        printed(experiment)
