"""A search whose combinations train side by side: same numbers as alone, stopped and resumed, some given up."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from flax import nnx

import serjax
from serjax.checkpoints.calibration import read_calibration
from serjax.checkpoints.huggingface import save_pretrained
from serjax.checkpoints.preprocessor import Preprocessor
from serjax.config.experiment import Experiment
from serjax.data.config import DataConfig, FoldsConfig
from serjax.evaluation.calibration_report import calibrated
from serjax.evaluation.out_of_fold import mean_of, read_oof_csv, read_seeds
from serjax.models.encoders.config import preset
from serjax.models.encoders.wav2vec2 import SpeechEncoder
from serjax.models.speech import Speech
from serjax.runs import search as module
from serjax.runs.finetune import train
from serjax.runs.search import combinations, search_table
from serjax.runtime.errors import UserError
from serjax.training.config import OptimizerConfig, TrainConfig
from serjax.training.metric_log import read_history

TRIED = (("optimizer.max_lr", 1e-3, 1e-2), ("optimizer.weight_decay", 0.0, 0.3), ("train.label_smoothing", 0.1))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp("corpus") / "tones", np.random.default_rng(0)
    for label, pitch in (("high", 900), ("low", 200)):
        (root / label).mkdir(parents=True)
        for speaker in range(4):
            tone = np.sin(2 * np.pi * (pitch + 10 * speaker) * np.arange(5000) / 16000) + rng.normal(0, 0.3, 5000)
            soundfile.write(root / label / f"spk{speaker}.wav", 0.3 * tone, 16000)
    return root


def frozen(corpus, out, **changes):
    experiment = Experiment(
        name="run",
        data=DataConfig(root=str(corpus), max_seconds=0.4, speaker_pattern=r"(?P<speaker>spk\d+)"),
        folds=FoldsConfig(count=2),
        model=Speech(size="tiny", freeze="encoder", pooling="mean", head_size=8),
        train=TrainConfig(epochs=3, batch_size=4),
        out=str(out),
        search=TRIED,
    )
    return replace(experiment, **changes)


def answers(rows):
    return {Path(row["run"]).name: read_oof_csv(Path(row["run"]) / "oof.csv").probability for row in rows}


@pytest.fixture(scope="module")
def together(corpus, tmp_path_factory):
    """A finished search, none of whose combinations was trained alone."""
    experiment = frozen(corpus, tmp_path_factory.mktemp("together"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "train", None)
        return experiment, serjax.run(experiment)["search"]


def test_combinations_side_by_side_give_the_numbers_that_they_give_alone(together, corpus, tmp_path):
    experiment, rows = together
    found = answers(rows)
    assert len({value.tobytes() for value in found.values()}) == len(found) == 4
    for _, one in list(combinations(replace(experiment, out=str(tmp_path))))[1:3]:
        train(one, "x")
        alone = read_oof_csv(one.run_dir / "oof.csv").probability
        np.testing.assert_allclose(found[one.name], alone, atol=1e-4)
        for row, other in zip(read_history(experiment.run_dir / one.name), read_history(one.run_dir), strict=True):
            assert row.keys() == other.keys()
    assert {path.name for path in one.run_dir.iterdir()} == {
        path.name for path in (experiment.run_dir / one.name).iterdir()
    }
    assert not list(experiment.run_dir.glob("unfinished*"))


def test_a_search_that_was_stopped_goes_on_to_the_same_numbers(together, corpus, tmp_path, stop_after_an_epoch, caplog):
    caplog.set_level("INFO")
    experiment = frozen(corpus, tmp_path)
    stop_after_an_epoch(serjax.run, experiment)
    # As a call leaves it that was stopped while it wrote: a smaller group is another one.
    (experiment.run_dir / "unfinished-0").mkdir()
    caplog.clear()
    rows = serjax.run(experiment)["search"]
    assert "Resuming after epoch 1." in caplog.text
    assert f"tensorboard --logdir {experiment.run_dir} " in caplog.text
    assert not list(experiment.run_dir.glob("unfinished*"))
    whole = answers(together[1])
    for name, found in answers(rows).items():
        np.testing.assert_array_equal(found, whole[name])


def test_a_combination_that_diverges_is_given_up_and_the_others_go_on(corpus, tmp_path, caplog):
    tried = (("optimizer.max_lr", 1e30, 1e-3),)
    rows = serjax.run(frozen(corpus, tmp_path, search=tried))["search"]
    assert [row["values"]["optimizer.max_lr"] for row in rows] == [1e-3, 1e30]
    assert rows[1]["validation_macro_f1"] is None
    assert "| 1e+30 | not finite |" in search_table(rows)
    assert "are not finite at learning rate 1e+30" in caplog.text
    assert not (Path(rows[1]["run"]) / "report.json").exists()


def test_a_search_of_which_nothing_stays_finite_is_refused(corpus, tmp_path):
    with pytest.raises(UserError, match="no combination stayed finite"):
        serjax.run(frozen(corpus, tmp_path, search=(("optimizer.max_lr", 1e30, 2e30),)))


@pytest.mark.slow
def test_a_two_stage_search_trains_side_by_side(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "train", None)
    save_pretrained(
        SpeechEncoder(preset("hubert", "tiny"), rngs=nnx.Rngs(0)), tmp_path / "hubert", preprocessor=Preprocessor()
    )
    settings = TrainConfig(epochs=1, head_epochs=1, batch_size=4)
    experiment = frozen(
        corpus,
        tmp_path,
        model=Speech(checkpoint=str(tmp_path / "hubert"), pooling="mean", head_size=8),
        train=settings,
        folds=FoldsConfig(count=2, together="yes"),
        optimizer=OptimizerConfig(max_lr=1e-4),
        search=(("optimizer.clip_norm", 0.1, 1.0),),
    )
    found = answers(serjax.run(experiment)["search"])
    assert len(found) == 2
    assert not np.array_equal(*found.values())


@pytest.mark.slow
def test_extended_run_ends_as_one_of_as_many_epochs_with_all_seeds(corpus, tmp_path, caplog):
    caplog.set_level("INFO", "serjax")
    constant = {"search": (), "optimizer": OptimizerConfig(schedule="constant", max_lr=1e-2)}
    settings = TrainConfig(epochs=3, batch_size=4, seeds=2)
    whole = frozen(corpus, tmp_path / "whole", train=settings, **constant)
    report = train(whole, "x")
    # The closing example is answered out of fold, by all seeds.
    said = caplog.text[caplog.text.index("python -m serjax.predict") :]
    assert (
        "Answered by fold 1, which tests this clip and has not trained on it (in training or validation of 2);" in said
    )
    seeds = read_seeds(whole.run_dir / "oof.csv")
    answers = mean_of(seeds)
    calibration = read_calibration(whole.run_dir, [(fold, seed) for seed in (0, 1) for fold in (1, 2)])
    scores = np.mean([calibrated(oof, calibration, seed) for seed, oof in enumerate(seeds)], 0)
    (row,) = [row for row, clip in enumerate(answers.ids) if f"{clip}.wav --weights 1 0\n" in said]
    assert answers.fold[row] == 1
    for label, score in zip(answers.labels, scores[row], strict=True):
        shown = float(re.search(rf"{label} ([\d.]+)%", said)[1])
        assert shown == pytest.approx(100 * score, abs=0.06)
    short = frozen(corpus, tmp_path / "short", train=replace(settings, epochs=1), **constant)
    train(short, "x")
    extended = replace(short, train=settings)
    again = train(extended, "x")
    assert again["out_of_fold"] == report["out_of_fold"]
    assert again["seeds"] == report["seeds"]
    models = [path.relative_to(whole.run_dir) for path in whole.run_dir.rglob("*.safetensors")]
    assert {str(path.parent) for path in models} == {"fold_1", "fold_2", "seed_1/fold_1", "seed_1/fold_2"}
    for path in ("oof.csv", "experiment.json", "model.json", "calibration.json", *models):
        assert (whole.run_dir / path).read_bytes() == (short.run_dir / path).read_bytes(), path
    one, other = ([row["epoch"] for row in read_history(run.run_dir)] for run in (short, whole))
    assert one == other
    assert len(read_seeds(short.run_dir / "oof.csv")) == 2
    clip = next(corpus.rglob("*.wav"))
    assert serjax.load(short.run_dir)(clip) == serjax.load(whole.run_dir)(clip)
    with pytest.raises(UserError, match=r"a larger --train\.epochs to extend it"):
        train(extended, "x")
