"""ResNet18 without its shortcuts on 64-mel spectrograms, after an audio-visual fusion system's network.

Command: python -m serjax.train --exp audio_resnet --data.root RAVDESS
    Its other split, which does not keep speakers apart (1005, 210 and 225 clips):
    --folds.kind split --folds.allow-speaker-overlap --seed 42
Needs: RAVDESS speech as published; noise recordings are welcome (--augment.noise DIR), else noise is Gaussian.
Takes: minutes on two cores for RAVDESS. 12,785,224 parameters for eight classes.
Expect: less than the audio networks of its paper, which were scored on speakers they knew (accuracy 0.8133).
"""

from serjax.config import (
    AugmentConfig,
    DataConfig,
    Experiment,
    FoldsConfig,
    ModelConfig,
    OptimizerConfig,
    TrainConfig,
)


def experiment() -> Experiment:
    """Return the experiment: actors 1 to 18 train, 19 to 21 validate, 22 to 24 test."""
    return Experiment(
        name="audio_resnet",
        data=DataConfig(corpus="ravdess"),
        folds=FoldsConfig(
            kind="split_speakers", validation_speakers=("19", "20", "21"), test_speakers=("22", "23", "24")
        ),
        model=ModelConfig(family="audio_resnet18"),
        optimizer=OptimizerConfig(schedule="cosine", warmup=0.05, max_lr=1e-3, min_lr=1e-5),
        train=TrainConfig(epochs=60, batch_size=32, patience=10, label_smoothing=0.1),
        augment=AugmentConfig(
            noise_levels=((0.4 / 3, 20.0), (0.4 / 3, 15.0), (0.4 / 3, 10.0), (0.1, 5.0)), mel_masks=2, time_masks=2
        ),
    )
