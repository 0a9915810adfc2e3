"""A small CNN on 64-mel spectrograms, after the audio networks of an audio-visual fusion system.

Command: python -m serjax.train --exp audio_cnn --data.root DIR
    The splits of its system, on RAVDESS: actors 1 to 18 train, 19 to 21 validate, 22 to 24 test,
    --folds.kind split_speakers --folds.validation-speakers 19 20 21 --folds.test-speakers 22 23 24
    or, which does not keep speakers apart (1005, 210 and 225 clips),
    --folds.kind split --folds.allow-speaker-overlap --seed 42
Needs: a folder of recordings; noise recordings are welcome (--augment.noise DIR), else noise is Gaussian.
Takes: six seconds an epoch and fold on two cores for a thousand clips. 155,752 parameters for eight classes.
Expect: docs/results/scores.md has its scores. The audio networks of its paper were scored on speakers they
    knew (0.8133).
"""

from serjax.audio.config import AugmentConfig
from serjax.config.experiment import Experiment
from serjax.models.spectrogram import Spectrogram
from serjax.training.config import OptimizerConfig, TrainConfig


def experiment() -> Experiment:
    """Return the experiment: noise on half of the clips, SpecAugment, label smoothing."""
    return Experiment(
        name="audio_cnn",
        model=Spectrogram(family="audio_cnn"),
        optimizer=OptimizerConfig(schedule="cosine", warmup=0.05, max_lr=1e-3, min_lr=1e-5),
        train=TrainConfig(epochs=60, batch_size=32, patience=10, label_smoothing=0.1),
        augment=AugmentConfig(
            noise_levels=((0.4 / 3, 20.0), (0.4 / 3, 15.0), (0.4 / 3, 10.0), (0.1, 5.0)), mel_masks=2, time_masks=2
        ),
    )
