"""Folds that were trained as jobs, put together: the same files and numbers as one training of all folds."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

import serjax
from serjax.config.experiment import Experiment
from serjax.data.config import DataConfig, FoldsConfig
from serjax.models.fusion.config import Fusion
from serjax.models.spectrogram import Spectrogram
from serjax.models.speech import Speech
from serjax.runs import gather as module
from serjax.runs.finetune import train
from serjax.runs.gather import gather, merge_histories
from serjax.runtime.errors import UserError
from serjax.training.config import TrainConfig
from serjax.training.metric_log import read_history
from serjax.video.config import VideoConfig


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Tones whose class is their pitch, and an archive of values that tell the classes apart."""
    root, rng = tmp_path_factory.mktemp("corpus") / "tones", np.random.default_rng(0)
    ids, values = [], []
    for label, pitch in (("high", 900), ("low", 200)):
        (root / label).mkdir(parents=True)
        for speaker in range(6):
            tone = np.sin(2 * np.pi * (pitch + 10 * speaker) * np.arange(6000) / 16000) + rng.normal(0, 0.3, 6000)
            name = f"{label}_spk{speaker}"
            soundfile.write(root / label / f"{name}.wav", 0.3 * tone, 16000)
            ids.append(name)
            values.append(rng.normal(3 * (label == "high"), 1, 5))
    np.savez(root.parent / "values.npz", ids=np.array(ids), au=np.array(values, np.float32))
    return root


def small(corpus, out, **changes):
    experiment = Experiment(
        name="run",
        data=DataConfig(root=str(corpus), max_seconds=0.3, speaker_pattern=r"(?P<speaker>spk\d+)"),
        folds=FoldsConfig(count=3, together="no"),
        model=Spectrogram(family="audio_cnn"),
        train=TrainConfig(epochs=2, batch_size=4),
        out=str(out),
    )
    return replace(experiment, **changes)


def rates_and_seeds(corpus):
    return {
        "model": Speech(size="tiny", freeze="encoder", pooling="mean", head_size=8),
        "train": TrainConfig(epochs=3, batch_size=4, seeds=2, learning_rates=(1e-4, 1e-2)),
    }


def sound_and_video(corpus):
    video = VideoConfig(face_features=str(corpus.parent / "values.npz"))
    return {
        "model": Fusion(audio=Spectrogram(family="audio_cnn"), video=video, modality_dropout=0.2),
        "stages": "two",
        "train": TrainConfig(epochs=2, head_epochs=2, batch_size=4),
        "folds": FoldsConfig(count=3, together="no", validation="test"),
    }


def job(experiment, *folds):
    return replace(experiment, job=True, folds=replace(experiment.folds, only=folds))


def files(folder):
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and "jobs" not in path.parts)
    return sorted(path.parent if path.parent.parent.name == "tensorboard" else path for path in found)


def without_time(report):
    facts = {key: value for key, value in report["facts"].items() if key not in ("seconds", "command")}
    experiment = {key: value for key, value in report["experiment"].items() if key not in ("out", "overwrite")}
    return report | {"facts": facts, "experiment": experiment}


@pytest.fixture(scope="module")
def jobs(corpus, tmp_path_factory):
    """A run folder with three jobs, of folds that were trained in another order."""
    experiment = small(corpus, tmp_path_factory.mktemp("jobs"))
    for fold in (3, 1, 2):
        train(job(experiment, fold), f"job {fold}")
    return experiment


@pytest.fixture
def copied(jobs, tmp_path):
    shutil.copytree(jobs.whole_dir, tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize(
    "options",
    [
        lambda corpus: {},
        pytest.param(rates_and_seeds, marks=pytest.mark.slow),
        pytest.param(sound_and_video, marks=pytest.mark.slow),
    ],
    ids=["plain", "rates and seeds", "sound and video"],
)
def test_gathered_run_equals_one_training_of_all_folds(corpus, tmp_path, options):
    apart = small(corpus, tmp_path / "apart", **options(corpus))
    at_once = replace(apart, out=str(tmp_path / "at_once"))
    whole = train(at_once, "x")
    for folds in ((1, 3), (2,)):
        train(job(apart, *folds), "x")
    report = gather(apart.whole_dir)
    assert without_time(report) == without_time(whole)
    assert json.loads((apart.whole_dir / "report.json").read_text()) == report
    assert files(apart.whole_dir) == files(at_once.run_dir)
    weights = [str(path) for path in files(at_once.run_dir) if path.parent.name == "fold_2"]
    assert any(name.endswith(".safetensors") for name in weights)
    calibrated = ["calibration.json"] * (apart.folds.validation == "train")
    assert (at_once.run_dir / "calibration.json").is_file() == bool(calibrated)
    assert bool(report["calibration"]["after"]) == bool(calibrated)
    for name in ("experiment.json", "folds.json", "model.json", "oof.csv", "confusion.png", *calibrated, *weights):
        assert (apart.whole_dir / name).read_bytes() == (at_once.run_dir / name).read_bytes(), name
    for stage in ("", "first_stage"):
        histories = read_history(apart.whole_dir / stage), read_history(at_once.run_dir / stage)
        assert bool(histories[0]) == (not stage or apart.first_epochs > 0)
        for one, two in zip(*histories, strict=True):
            assert one | {"seconds": 0} == two | {"seconds": 0}
    clip = next(corpus.rglob("*.wav"))
    if not whole["alone"]:
        assert serjax.load(apart.whole_dir)(clip) == serjax.load(at_once.run_dir)(clip)
    else:
        assert report["last_epoch"]


def test_jobs_share_what_was_decoded_and_say_what_to_do_next(jobs):
    assert {path.name for path in jobs.whole_dir.iterdir() if path.name[0] != "."} == {"jobs"}
    assert len(list(jobs.whole_dir.parent.glob("clips/*/"))) == 1
    assert f"python -m serjax.gather {jobs.out}/run" in (jobs.whole_dir / "jobs/folds_2/README.md").read_text()


def test_jobs_are_not_taken_for_a_run(jobs):
    for overwrite in (False, True):
        with pytest.raises(UserError, match=r"it holds jobs .* put them together with python -m serjax\.gather"):
            train(replace(jobs, overwrite=overwrite), "x")


def test_gathering_again_needs_overwrite_and_jobs_may_go_afterwards(copied, corpus):
    report = gather(copied, command="the command")
    assert report["facts"]["command"] == "job 1\njob 2\njob 3\nthe command"
    with pytest.raises(UserError, match=r"this run is finished, its results are in README\.md; give --overwrite"):
        gather(copied)
    (copied / "evaluation").mkdir()
    assert without_time(gather(copied, overwrite=True)) == without_time(report)
    assert not (copied / "evaluation").exists()
    shutil.rmtree(copied / "jobs")
    assert serjax.load(copied)(next(corpus.rglob("*.wav")))


@pytest.mark.parametrize("stage", ["write_results", "_install"])
def test_stopped_gathering_changes_nothing(copied, monkeypatch, stage):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, stage, stop)
        with pytest.raises(KeyboardInterrupt):
            gather(copied)
    assert {path.name for path in copied.iterdir()} <= {"jobs", ".gathering"}
    gather(copied)
    assert not (copied / ".gathering").exists()


def test_gathering_that_was_killed_while_files_were_moved_is_finished_by_the_next(copied, monkeypatch):
    rename, moved = Path.rename, []

    def killed(self, target):
        if len(moved) == 4:
            raise KeyboardInterrupt
        moved.append(self.name)
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            gather(copied)
    assert (copied / moved[0]).exists()
    assert not (copied / "report.json").exists()
    whole = gather(copied)
    assert json.loads((copied / "report.json").read_text()) == whole
    assert not (copied / ".gathering").exists()


def test_files_that_no_gathering_left_are_kept(copied):
    (copied / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match=r"it holds thesis\.tex, which no gathering has left"):
        gather(copied)
    assert (copied / "thesis.tex").is_file()


def test_histories_come_in_the_order_of_one_log():
    rows = [
        {"fold": fold, "epoch": epoch, "seed": seed, "learning_rate": rate}
        for epoch in (1, 2)
        for seed in (0, 1)
        for rate in (1e-2, 1e-4)
        for fold in (2, 1)
    ]
    apart = [[row for row in rows if row["fold"] == fold] for fold in (1, 2)]
    assert merge_histories(apart, (2, 1), (1e-2, 1e-4)) == rows
