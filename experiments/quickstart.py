"""Speech emotion recognition from end to end, with nothing to download.

Command: python -m serjax.train --exp quickstart
Needs: nothing; a synthetic corpus is rendered (twenty speakers, four emotions), two CPU cores are enough.
Takes: a minute and a half, compilation included, on two cores of the slower of two kinds of machine.
Expect: UA 82 %, where chance is 25 % (docs/quickstart.md).
"""

from serjax.config.experiment import Experiment
from serjax.data.config import DataConfig, SyntheticConfig
from serjax.models.speech import Speech
from serjax.training.config import OptimizerConfig, TrainConfig


def experiment() -> Experiment:
    """Return the fine-tuning of `serjax-tiny` on five speaker-independent folds of synthetic speech."""
    return Experiment(
        name="quickstart",
        data=DataConfig(corpus="synthetic", synthetic=SyntheticConfig(speakers=20), max_seconds=2.0),
        model=Speech(checkpoint="serjax-tiny", weighted_layers=True),
        optimizer=OptimizerConfig(max_lr=1e-3),
        train=TrainConfig(epochs=6, batch_size=16),
    )
