"""Networks on spectrograms and hand-made values through the same engine: trained, saved, asked again."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import soundfile
from safetensors.numpy import load_file

import serjax
from serjax.audio.config import AugmentConfig
from serjax.checkpoints.calibration import read_calibration
from serjax.config.experiment import Experiment
from serjax.data.config import DataConfig, FoldsConfig
from serjax.evaluation.out_of_fold import read_oof_csv
from serjax.features.statistics import standardization
from serjax.models.spectrogram import Functionals, Spectrogram
from serjax.models.speech import Speech
from serjax.runs.finetune import experiment_data, train
from serjax.runs.setup import experiment_trials, make_plan, set_up
from serjax.runtime.errors import UserError
from serjax.training.config import OptimizerConfig, TrainConfig


def write_corpus(root):
    """Tones of two pitches by six speakers; the last half of each file is silence."""
    rng = np.random.default_rng(0)
    for label, pitch in (("high", 900), ("low", 200)):
        (root / label).mkdir(parents=True)
        for speaker in range(6):
            for number in range(3):
                count = rng.integers(9000, 12000)
                tone = np.sin(2 * np.pi * (pitch + 10 * speaker) * np.arange(count) / 16000)
                clip = np.concatenate([0.3 * tone + rng.normal(0, 0.03, count), np.zeros(8000)])
                soundfile.write(root / label / f"spk{speaker}_{number}.wav", clip, 16000)
    return root


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus") / "tones")


MODELS = {
    "audio_cnn": Spectrogram(family="audio_cnn", target_dbfs=-20.0),
    "bilstm": Functionals(target_dbfs=-20.0),
    "efficientnet": Spectrogram(family="efficientnet", head_size=16, target_dbfs=-20.0),
}


def small(corpus, out, family, **changes):
    experiment = Experiment(
        name=family,
        data=DataConfig(root=str(corpus), max_seconds=0.5, speaker_pattern=r"(?P<speaker>spk\d+)"),
        folds=FoldsConfig(count=2),
        model=MODELS[family],
        train=TrainConfig(epochs=2, batch_size=8),
        out=str(out),
    )
    return replace(experiment, **changes)


@pytest.mark.parametrize("family", ["audio_cnn", pytest.param("bilstm", marks=pytest.mark.slow)])
def test_saved_networks_answer_as_they_did_in_training(corpus, tmp_path, family):
    augment = AugmentConfig(
        speed_factors=(1.0, 1.1), noise=str(corpus / "low"), noise_p=0.5, mixup=0.2, mixup_of="features"
    )
    experiment = small(corpus, tmp_path, family, augment=augment)
    model = replace(experiment.model, pad_mode="repeat")
    experiment = replace(experiment, model=model, data=replace(experiment.data, vad="energy"))
    train(experiment, "the command")
    oof = read_oof_csv(experiment.run_dir / "oof.csv")
    tensors = [load_file(experiment.run_dir / f"fold_{fold}" / "model.safetensors") for fold in (1, 2)]
    assert not np.allclose(tensors[0]["standardize.mean"], tensors[1]["standardize.mean"])
    for fold in (1, 2):
        alone = serjax.load(experiment.run_dir, [float(fold == 1), float(fold == 2)], long_clips="head", raw=True)
        rows = np.flatnonzero(oof.fold == fold)
        answers = alone([Path(experiment.data.root) / f"{oof.ids[row]}.wav" for row in rows])
        for row, answer in zip(rows, answers, strict=True):
            scores = {entry["label"]: entry["score"] for entry in answer}
            np.testing.assert_allclose([scores[label] for label in oof.labels], oof.probability[row], atol=1e-4)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers(corpus, tmp_path):
    augment = AugmentConfig(speed_factors=(1.0, 0.9), noise_p=0.5, mel_masks=1)
    for name in ("a", "b"):
        train(small(corpus, tmp_path / name, "audio_cnn", augment=augment), "the command")
    first, second = (read_oof_csv(tmp_path / name / "audio_cnn" / "oof.csv").probability for name in ("a", "b"))
    np.testing.assert_array_equal(first, second)


@pytest.mark.slow
def test_folds_trained_together_are_those_trained_alone(corpus, tmp_path):
    found = []
    for name, changes in (("yes", {}), ("no", {"together": "no"}), ("in groups", {"together": "yes", "at_once": 1})):
        experiment = small(corpus, tmp_path / name, "audio_cnn")
        train(replace(experiment, folds=replace(experiment.folds, **{"together": "yes"} | changes)), "the command")
        calibration = read_calibration(experiment.run_dir, [(1, 0), (2, 0)])
        scores = np.concatenate([one.nonconformity for one in calibration.members])
        found.append((read_oof_csv(experiment.run_dir / "oof.csv").probability, scores))
    for one, other in (found[:2], found[1:]):
        np.testing.assert_allclose(one[0], other[0], atol=1e-3)
        np.testing.assert_allclose(one[1], other[1], atol=2e-2)


@pytest.mark.parametrize("family", ["audio_cnn", "bilstm"])
def test_a_test_clip_changes_no_statistic_of_its_fold(corpus, tmp_path, family):
    experiment = small(corpus, tmp_path, family)
    data = experiment_data(experiment)
    trials = experiment_trials(experiment, data.folds)
    (moments,) = make_plan(experiment).model.standardized
    train = [trial.train for trial in trials]
    settings = {"crop": "head", "folder": tmp_path / "features"}
    before = standardization(moments, data.store, train, **settings)
    changed = trials[0].test[0]

    class Louder:
        hashes = ("other",)
        lengths = data.store.lengths
        utterances = data.store.utterances

        def __len__(self):
            return len(data.store)

        def clip(self, i):
            noise = np.random.default_rng(1).normal(0, 1, data.store.lengths[i]).astype(np.float32)
            return noise if i == changed else data.store.clip(i)

    after = standardization(moments, Louder(), train, **settings)
    for one, two in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        np.testing.assert_array_equal(one[0], two[0])
        assert not np.array_equal(one[1], two[1])
        assert jnp.isfinite(one).all()


@pytest.mark.slow
def test_a_test_clip_changes_no_weight_of_its_fold(tmp_path):
    weights, tested = [], []
    for name in ("before", "after"):
        root = write_corpus(tmp_path / name)
        for clip in tested:
            samples, rate = soundfile.read(root / f"{clip}.wav")
            soundfile.write(root / f"{clip}.wav", np.random.default_rng(0).normal(0, 0.5, len(samples)), rate)
        experiment = small(root, tmp_path / f"{name}_run", "audio_cnn")
        train(experiment, "the command")
        oof = read_oof_csv(experiment.run_dir / "oof.csv")
        tested = [clip for clip, fold in zip(oof.ids, oof.fold, strict=True) if fold == 1]
        weights.append([load_file(experiment.run_dir / f"fold_{fold}" / "model.safetensors") for fold in (1, 2)])
    (one, two), (same, other) = weights
    assert all(np.array_equal(one[key], same[key]) for key in one)
    assert not np.array_equal(two["standardize.mean"], other["standardize.mean"])


def test_what_networks_do_not_know_is_named(corpus, tmp_path):
    experiment = small(corpus, tmp_path, "bilstm")
    with pytest.raises(UserError, match=r"^model\.checkpoint is given, but audio_cnn has no published weights"):
        train(replace(experiment, model=Spectrogram(family="audio_cnn", checkpoint="x/y")), "")
    empty = tmp_path / "empty"
    empty.mkdir()
    for augment, message in (
        (AugmentConfig(noise=str(empty), noise_p=0.5), "--augment.noise: .* holds no sound files"),
        (AugmentConfig(rir=str(tmp_path / "none"), rir_p=0.5), "--augment.rir: .* is no folder"),
        (AugmentConfig(noise=str(empty)), "its probability is 0"),
        (AugmentConfig(noise_snr=(20.0, 10.0)), "noise_snr must rise"),
        (AugmentConfig(mixup_of="features"), "needs augment.mixup above 0"),
        (AugmentConfig(noise_levels=((0.7, 5.0), (0.7, 1.0))), "add up to 1"),
    ):
        with pytest.raises(UserError, match=message):
            train(replace(experiment, augment=augment), "")
    with pytest.raises(UserError, match=r"augmentation of waves .* is given, but model\.family hubert with"):
        train(replace(experiment, model=Speech(size="tiny", freeze="encoder"), augment=AugmentConfig(gain_p=0.5)), "")
    for window in (0.05, 99.0):
        message = rf"model\.window is {window:g}; it must be from 0\.128 s to data\.max_seconds"
        with pytest.raises(UserError, match=message):
            train(replace(experiment, model=Functionals(window=window)), "")
    assert not experiment.run_dir.exists()


@pytest.mark.slow
def test_a_standardiser_of_other_features_is_refused(corpus, tmp_path):
    experiment = small(corpus, tmp_path, "audio_cnn", train=TrainConfig(epochs=1, batch_size=8))
    train(experiment, "the command")
    path = experiment.run_dir / "model.json"
    path.write_text(path.read_text().replace('"audio_cnn"', '"audio_resnet18"'))
    with pytest.raises(UserError, match="the weights do not fit the model"):
        serjax.load(experiment.run_dir)
    assert json.loads(path.read_text())["model"]["family"] == "audio_resnet18"


@pytest.mark.slow
def test_groups_of_none_freeze_weights_and_leave_moments_to_the_folds(corpus, tmp_path):
    experiment = small(corpus, tmp_path, "bilstm", train=TrainConfig(epochs=1, batch_size=8))
    kept = OptimizerConfig(groups=((r".*\.fc2\..*", 0.5), (r".*", None)))
    train(replace(experiment, optimizer=kept), "the command")
    one, two = (load_file(experiment.run_dir / f"fold_{fold}" / "model.safetensors") for fold in (1, 2))
    own = {name for name in one if not np.array_equal(one[name], two[name])}
    assert own == {"standardize.mean", "standardize.deviation", *(name for name in one if ".fc2." in name)}
    data = experiment_data(experiment)
    trials, plan = experiment_trials(experiment, data.folds), make_plan(experiment)
    for groups, message in (((".*", None),), "every weight"), ((("fc2", None),), "'fc2' matches no trained"):
        wrong = replace(experiment, optimizer=OptimizerConfig(groups=groups))
        with pytest.raises(UserError, match=message):
            set_up(wrong, data, trials, plan)
