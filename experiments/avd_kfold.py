"""Arousal, valence and dominance on K folds: WavLM with attentive statistics, trained on CCC.

Command: python -m serjax.train --exp avd_kfold --data.root LIST.csv
    Other values: --target.dimensions valence=-1:1 --data.columns valence=V
Needs: a list with columns arousal, valence and dominance from 1 to 7, and microsoft/wavlm-base-plus (fetched from the
    hub, or a directory given with --model.checkpoint DIR).
Takes: about as long as five fine-tunings; a GPU is advised.
Expect: not measured here. Without data or pretrained weights, bilstm_kfold learns values of rendered speech
    (docs/how-to/targets.md).
"""

from serjax.config.experiment import Experiment
from serjax.data.target_config import TargetConfig
from serjax.models.speech import Speech
from serjax.training.config import TrainConfig


def experiment() -> Experiment:
    """Return the experiment: batches of 32, early stopping on the mean CCC, five folds of speakers."""
    return Experiment(
        name="avd_kfold",
        target=TargetConfig(kind="dimensions", dimensions=("arousal=1:7", "valence=1:7", "dominance=1:7")),
        model=Speech(family="wavlm", checkpoint="microsoft/wavlm-base-plus", pooling="attentive_stat"),
        train=TrainConfig(epochs=30, batch_size=32, patience=10),
    )
