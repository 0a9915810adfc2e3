import numpy as np
import pytest
import soundfile
from tiny_pretraining import SAMPLES, small

from serjax.runs.pretraining.run import pretrain


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Three clips of each of four speakers at two pitches, which are their labels."""
    rng = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("corpus") / "tones"
    for label, pitch in (("high", 900), ("low", 200)):
        (root / label).mkdir(parents=True)
        for speaker in range(4):
            for number in range(3):
                tone = np.sin(2 * np.pi * (pitch + 10 * speaker) * np.arange(SAMPLES) / 16_000)
                soundfile.write(
                    root / label / f"spk{speaker}_{number}.wav", 0.3 * tone + rng.normal(0, 0.03, SAMPLES), 16_000
                )
    return root


@pytest.fixture(scope="session")
def run(corpus, tmp_path_factory):
    """A finished pretraining."""
    experiment = small(corpus, tmp_path_factory.mktemp("runs"))
    pretrain(experiment, "the command")
    return experiment
