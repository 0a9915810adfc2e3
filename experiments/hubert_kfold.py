"""HuBERT with attentive pooling on K folds, after SER-Baseline's HuBERT system.

Command: python -m serjax.train --exp hubert_kfold --data.root DIR
Needs: a folder of recordings, and facebook/hubert-base-ls960 (fetched from the hub, or a directory given with
    --model.checkpoint DIR). Without pretrained weights: --model.size tiny.
Takes: about as long as five fine-tunings; a GPU is advised at base size.
Expect: the original reports an out-of-fold macro-F1 of 0.8653 on private data.
"""

from serjax.config.experiment import Experiment
from serjax.models.speech import Speech
from serjax.training.config import TrainConfig


def experiment() -> Experiment:
    """Return the experiment: AdamW under OneCycle to 5e-5, early stopping with patience 10, five folds, 3 s clips."""
    return Experiment(
        name="hubert_kfold",
        model=Speech(
            family="hubert",
            checkpoint="facebook/hubert-base-ls960",
            pooling="attentive",
            head="layernorm_relu",
            head_size=256,
        ),
        train=TrainConfig(epochs=30, batch_size=16, patience=10),
    )
