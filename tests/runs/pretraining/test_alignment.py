"""Alignment with emotion: all steps, found finished by a later call, and a page that compares both fine-tunings."""

from dataclasses import replace

import pytest
from tiny_pretraining import small

from serjax.config.experiment import Experiment
from serjax.config.pretraining import AlignConfig, LabelsConfig
from serjax.config.registry import find
from serjax.data.store.frame_labels import FrameLabels
from serjax.features.config import ClusterConfig
from serjax.runs.pretraining import alignment
from serjax.runs.starts import find_encoders
from serjax.runtime.errors import UserError


def stop(*_):
    raise KeyboardInterrupt


@pytest.mark.slow
def test_alignment_makes_all_steps_and_finds_them_finished(corpus, tmp_path, monkeypatch):
    script = tmp_path / "mine.py"
    script.write_text(
        "from dataclasses import replace\n"
        "import serjax\n"
        "from serjax.config.experiment import DataConfig, TrainConfig\n"
        "def experiment():\n"
        "    return replace(serjax.experiment('hubert_align'), data=DataConfig(max_seconds=0.4),\n"
        "                   train=TrainConfig(epochs=1, batch_size=8))\n"
    )
    experiment = small(corpus, tmp_path, steps="cpt")
    labels = LabelsConfig(layer=2, cluster=ClusterConfig(clusters=3, batch_size=500, starts=2, patience=5))
    experiment = replace(experiment, align=AlignConfig(finetune=str(script), labels=labels, masked=experiment.masked))
    with monkeypatch.context() as patch:
        patch.setattr(alignment, "write_spreads", stop)
        with pytest.raises(KeyboardInterrupt):
            alignment.align(experiment, "the command")
    stamp = (experiment.run_dir / "4_finetune" / "report.json").stat().st_mtime_ns
    alignment.align(experiment, "the command")
    assert (experiment.run_dir / "4_finetune" / "report.json").stat().st_mtime_ns == stamp
    page = (experiment.run_dir / "README.md").read_text()
    assert "[TAPT](2_finetune)" in page
    assert "[CPT](4_finetune)" in page
    assert "| CPT less TAPT | " in page
    for fold in (1, 2):
        own = FrameLabels(experiment.run_dir / "3_cpt" / f"fold_{fold}" / "labels")
        assert own.source["layer"] == 2
        assert own.source["encoder"].endswith("2_finetune")
    found = find_encoders(str(experiment.run_dir))
    assert found.folders[2] == str(experiment.run_dir / "3_cpt" / "fold_2" / "encoder")


def test_fine_tuning_takes_clips_from_the_pretraining_and_inputs_from_its_own_experiment(tmp_path):
    experiment = small(tmp_path / "recordings", tmp_path, steps="cpt", seed=3)
    tapt, cpt = alignment._pretrainings(experiment)
    assert (tapt.name, cpt.name, tapt.steps) == ("1_tapt", "3_cpt", "tapt")
    assert cpt.labels.checkpoint == str(experiment.run_dir / "2_finetune")
    assert tapt.data.cache == cpt.data.cache
    tuned = alignment._finetuning(experiment, "2_finetune", tapt)
    own = find("hubert_align", Experiment)
    assert tuned.model == replace(own.model, checkpoint=str(tapt.run_dir), size=None)
    assert (tuned.data.root, tuned.data.max_seconds) == (experiment.data.root, own.data.max_seconds)
    assert (tuned.folds, tuned.seed) == (experiment.folds, 3)


def test_fine_tuning_of_no_encoder_is_refused(tmp_path):
    experiment = small(tmp_path, tmp_path, steps="cpt", align=AlignConfig(finetune="bilstm"))
    with pytest.raises(UserError, match=r"align\.finetune is bilstm, which trains no encoder; give hubert_align\."):
        alignment._finetuning(experiment, "2_finetune", experiment)
