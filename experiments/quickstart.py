"""Speech emotion recognition from end to end, with nothing to download.

Command: python -m serjax.train --exp quickstart
Needs: nothing; a synthetic corpus is rendered (ten speakers, four emotions), two CPU cores are enough.
Takes: under three minutes on two cores, compilation included.
Expect: see README.md; chance is 25 % UA.
"""

from serjax.config.experiment import Experiment
from serjax.data.config import DataConfig
from serjax.models.speech import Speech
from serjax.training.config import OptimizerConfig, TrainConfig


def experiment() -> Experiment:
    """Return a tiny HuBERT from random weights on five speaker-independent folds of synthetic speech."""
    return Experiment(
        name="quickstart",
        data=DataConfig(corpus="synthetic", max_seconds=1.5),
        model=Speech(family="hubert", size="tiny"),
        optimizer=OptimizerConfig(),
        train=TrainConfig(epochs=14, batch_size=8, patience=10),
    )
