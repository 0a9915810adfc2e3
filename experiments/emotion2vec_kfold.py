"""Heads on a frozen emotion2vec on K folds, as its authors measure it: Linear and ReLU on each frame, mean, Linear.

Command: python -m serjax.train --exp emotion2vec_kfold --data.root DIR
    All layers on every fold, convolutions apart: --model.freeze cnn --train.learning-rates 1e-5
    Without training, the classes of emotion2vec+: python -m serjax.predict emotion2vec/emotion2vec_plus_base clip.wav
Needs: a folder of recordings, and emotion2vec/emotion2vec_base (fetched from the hub, or FunASR's folder of
    config.yaml and model.pt, given with --model.checkpoint DIR). Without pretrained weights: --model.size tiny.
Takes: the encoder once over all clips (93 million weights), and then seconds for all heads.
Expect: more than of the same head on a frozen HuBERT-base, as its paper reports. Not run here with published weights.
"""

from serjax.config.experiment import Experiment
from serjax.models.speech import Speech
from serjax.training.config import OptimizerConfig, TrainConfig


def experiment() -> Experiment:
    """Return the experiment: a head of width 256 on the last layer's frames, Adam at 5e-4."""
    return Experiment(
        name="emotion2vec_kfold",
        model=Speech(
            family="emotion2vec",
            checkpoint="emotion2vec/emotion2vec_base",
            pooling="mean",
            head="frame_relu",
            head_size=256,
            dropout=0.0,
            freeze="encoder",
        ),
        optimizer=OptimizerConfig(weight_decay=0.0),
        train=TrainConfig(epochs=50, batch_size=32, patience=10, learning_rates=(5e-4,)),
    )
