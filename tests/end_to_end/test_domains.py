"""Training for recordings from elsewhere: codecs and babble, and adaptation to a corpus without labels."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from safetensors.numpy import load_file

import serjax
from serjax.audio.config import AugmentConfig
from serjax.config.experiment import Experiment
from serjax.data.config import DataConfig, FoldsConfig
from serjax.data.known_clips import read_adapted
from serjax.evaluation.out_of_fold import read_oof_csv, read_seeds
from serjax.models.speech import Speech
from serjax.runs.finetune import train
from serjax.runtime.errors import UserError
from serjax.training.config import TrainConfig
from serjax.training.domain_config import DomainConfig


def write_corpus(root, seed, *, speakers=4, clips=2):
    """Tones whose class is their pitch."""
    rng = np.random.default_rng(seed)
    for label, pitch in (("high", 900), ("low", 200)):
        (root / label).mkdir(parents=True)
        for speaker in range(speakers):
            for number in range(clips):
                count = rng.integers(5000, 9000)
                tone = np.sin(2 * np.pi * (pitch + 10 * speaker) * np.arange(count) / 16000)
                soundfile.write(
                    root / label / f"spk{speaker}_{number}.wav", 0.3 * tone + rng.normal(0, 0.05, count), 16000
                )
    return root


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus") / "tones", 0)


def small(corpus, out, **changes):
    experiment = Experiment(
        name="run",
        data=DataConfig(root=str(corpus), max_seconds=0.4, speaker_pattern=r"(?P<speaker>spk\d+)"),
        folds=FoldsConfig(count=2),
        model=Speech(size="tiny", pooling="mean", head_size=8),
        train=TrainConfig(epochs=2, batch_size=8),
        out=str(out),
    )
    return replace(experiment, **changes)


def answers(experiment):
    return read_oof_csv(Path(experiment.run_dir) / "oof.csv").probability


@pytest.mark.slow
def test_a_stop_changes_no_number_of_training_with_codecs_and_babble(corpus, tmp_path, stop_after_an_epoch):
    augment = AugmentConfig(codec=("telephone", "mp3", "opus"), codec_p=0.8, babble_p=0.5)
    found = []
    for name in ("whole", "stopped"):
        experiment = small(corpus, tmp_path / name, augment=augment)
        experiment = replace(experiment, data=replace(experiment.data, cache=str(tmp_path / "cache")))
        if name == "stopped":
            stop_after_an_epoch(train, experiment, "x")
        train(experiment, "x")
        found.append(answers(experiment))
    np.testing.assert_array_equal(found[0], found[1])
    assert len(list((tmp_path / "cache" / "clips").glob("[!.]*"))) == 4


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """Another corpus, in which no label could be read: its folders are called otherwise."""
    root = write_corpus(tmp_path_factory.mktemp("elsewhere") / "calls", 1)
    for number, folder in enumerate(sorted(root.iterdir())):
        folder.rename(root / f"day{number}")
    return root


def adapting(corpus, elsewhere, out, kind, **changes):
    domain = DomainConfig(kind, None if kind == "none" else str(elsewhere))
    experiment = small(
        corpus, out, domain=domain, model=Speech(size="tiny", freeze="encoder", pooling="mean", head_size=8)
    )
    return replace(experiment, **changes)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dann", "coral"])
def test_an_adapted_run_answers_as_it_did_in_training(corpus, elsewhere, tmp_path, kind, stop_after_an_epoch):
    found, train_settings = {}, TrainConfig(epochs=3, batch_size=8, seeds=2, keep="last")
    for name, one in (("plain", "none"), ("whole", kind), ("stopped", kind)):
        experiment = adapting(corpus, elsewhere, tmp_path / name, one, train=train_settings)
        if name == "stopped":
            stop_after_an_epoch(train, experiment, "x")
        report = train(experiment, "x")
        found[name] = answers(experiment)
        tensors = [key for path in experiment.run_dir.glob("fold_1/*.safetensors") for key in load_file(path)]
        assert tensors
        assert not any("domain" in key for key in tensors)
        told = "adapted" in " ".join(report["facts"]["corpus_notes"])
        assert told == (one != "none")
        assert len(read_adapted(experiment.run_dir)) == (16 if told else 0)
    assert not np.allclose(found["plain"], found["whole"], atol=1e-4)
    np.testing.assert_array_equal(found["whole"], found["stopped"])
    oof, ensemble = (
        read_seeds(experiment.run_dir / "oof.csv"),
        serjax.load(experiment.run_dir, [1, 0], long_clips="head", raw=True),
    )
    rows = np.flatnonzero(oof[0].fold == 1)
    expected = np.mean([one.probability[rows] for one in oof], 0)
    for answer, row in zip(ensemble([Path(corpus) / f"{oof[0].ids[i]}.wav" for i in rows]), expected, strict=True):
        scores = {entry["label"]: entry["score"] for entry in answer}
        np.testing.assert_allclose([scores[label] for label in oof[0].labels], row, atol=1e-4)


@pytest.mark.slow
def test_a_run_does_not_go_on_with_another_corpus_to_adapt_to(corpus, elsewhere, tmp_path, stop_after_an_epoch):
    other = tmp_path / "calls"
    shutil.copytree(elsewhere, other)
    experiment = adapting(corpus, other, tmp_path, "coral")
    stop_after_an_epoch(train, experiment, "x")
    next(other.rglob("*.wav")).unlink()
    with pytest.raises(UserError, match=r"recordings.*changed"):
        train(experiment, "x")
