"""WavLM with attentive pooling on K folds.

Command: python -m serjax.train --exp wavlm_kfold --data.root DIR
Needs: a folder of recordings, and microsoft/wavlm-base (fetched from the hub, or a directory given with
    --model.checkpoint DIR). Without pretrained weights: --model.size tiny.
Takes: about as long as five fine-tunings; a GPU is advised at base size.
Expect: nothing is reported for this protocol; `hubert_kfold` is the one to compare with.
"""

from serjax.config.experiment import Experiment
from serjax.models.speech import Speech
from serjax.training.config import TrainConfig


def experiment() -> Experiment:
    """Return the experiment: what `hubert_kfold` does, from other weights."""
    return Experiment(
        name="wavlm_kfold",
        model=Speech(family="wavlm", checkpoint="microsoft/wavlm-base"),
        train=TrainConfig(epochs=30, batch_size=16, patience=10),
    )
