"""Training for recordings from elsewhere: codecs and babble, and adaptation to a corpus without labels."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from serjax.audio.config import AugmentConfig
from serjax.config.experiment import Experiment
from serjax.data.config import DataConfig, FoldsConfig
from serjax.evaluation.out_of_fold import read_oof_csv
from serjax.models.speech import Speech
from serjax.runs.finetune import train
from serjax.training.config import TrainConfig


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
def test_codecs_and_babble_decide_the_numbers_and_a_stop_changes_none(corpus, tmp_path, stop_after_an_epoch):
    augment = AugmentConfig(codec=("telephone", "mp3", "opus"), codec_p=0.8, babble_p=0.5)
    found = []
    for name, one in (("plain", AugmentConfig()), ("whole", augment), ("stopped", augment)):
        experiment = small(corpus, tmp_path / name, augment=one)
        experiment = replace(experiment, data=replace(experiment.data, cache=str(tmp_path / "cache")))
        if name == "stopped":
            stop_after_an_epoch(train, experiment, "x")
        train(experiment, "x")
        found.append(answers(experiment))
    assert not np.allclose(found[0], found[1], atol=1e-4)
    np.testing.assert_array_equal(found[1], found[2])
    assert len(list((tmp_path / "cache" / "clips").glob("[!.]*"))) == 4
