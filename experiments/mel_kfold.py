"""EfficientNet-B0 on log-mel spectrograms on K folds, after SER-Baseline's Mel-EfficientNet system.

Command: python -m serjax.train --exp mel_kfold --data.root DIR
Needs: a folder of recordings. Weights start at random; with --model.checkpoint google/efficientnet-b0 as ImageNet left
    them.
Takes: 35 seconds an epoch and fold on two cores for a thousand clips.
Expect: the original reports an out-of-fold macro-F1 of 0.79 on private data.
"""

from serjax.audio.config import AugmentConfig
from serjax.config.experiment import Experiment
from serjax.models.spectrogram import Spectrogram
from serjax.training.config import TrainConfig


def experiment() -> Experiment:
    """Return the experiment: 128 mels x 300 frames, SpecAugment, AdamW under OneCycle."""
    return Experiment(
        name="mel_kfold",
        model=Spectrogram(family="efficientnet", head_size=256, dropout=0.2),
        augment=AugmentConfig(mel_masks=2, time_masks=2),
        train=TrainConfig(epochs=30, batch_size=16, patience=10),
    )
