"""XLSR-53, wav2vec2 large in 53 languages, with attentive pooling on K folds.

Command: python -m serjax.train --exp xlsr_kfold --data.root DIR
Needs: a folder of recordings, and facebook/wav2vec2-large-xlsr-53 (fetched from the hub, or a directory given with
    --model.checkpoint DIR). Without pretrained weights: --model.size tiny.
Takes: about as long as five fine-tunings; a GPU with 40 GB or --model.remat is advised: 315 million weights a fold.
Expect: nothing is reported for this protocol; `hubert_kfold` is the one to compare with.
"""

from serjax.config.experiment import Experiment
from serjax.models.speech import Speech
from serjax.training.config import TrainConfig


def experiment() -> Experiment:
    """Return the experiment: what `hubert_kfold` does, from other weights."""
    return Experiment(
        name="xlsr_kfold",
        model=Speech(family="wav2vec2", checkpoint="facebook/wav2vec2-large-xlsr-53"),
        train=TrainConfig(epochs=30, batch_size=16, patience=10),
    )
