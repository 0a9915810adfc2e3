"""wav2vec2 with attentive pooling on K folds, after SER-Baseline's wav2vec2 system.

Command: python -m serjax.train --exp wav2vec2_kfold --data.root DIR
Needs: a folder of recordings, and facebook/wav2vec2-base (fetched from the hub, or a directory given with
    --model.checkpoint DIR). Without pretrained weights: --model.size tiny.
Takes: about as long as five fine-tunings; a GPU is advised at base size.
Expect: the original reports an out-of-fold macro-F1 of 0.8635 on private data.
"""

from serjax.config.experiment import Experiment
from serjax.models.speech import Speech
from serjax.training.config import TrainConfig


def experiment() -> Experiment:
    """Return the experiment: AdamW under OneCycle to 5e-5, early stopping with patience 10, five folds, 3 s clips."""
    return Experiment(
        name="wav2vec2_kfold",
        model=Speech(
            family="wav2vec2",
            checkpoint="facebook/wav2vec2-base",
            pooling="attentive",
            head="layernorm_gelu",
            head_size=128,
        ),
        train=TrainConfig(epochs=30, batch_size=16, patience=10),
    )
