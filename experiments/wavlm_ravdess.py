"""WavLM-base for RAVDESS's eight emotions in two stages, after the audio network of an audio-visual fusion system.

Command: python -m serjax.train --exp wavlm_ravdess --data.root RAVDESS
    More layers: --model.frozen-layers 8 (28,950,360 weights are trained instead of 14,773,552).
    Its other split, which does not keep speakers apart (1005, 210 and 225 clips):
    --folds.kind split --folds.allow-speaker-overlap --seed 42
Needs: RAVDESS speech as published, and microsoft/wavlm-base (fetched from the hub, or a directory given with
    --model.checkpoint DIR).
Takes: one encoding of 1440 clips, heads in seconds, then a fine-tuning of two layers.
Expect: the original reports accuracy 0.8133 and macro-F1 0.8097 on the split that shares speakers; new speakers score
    less. It names no learning rates: those here are ours.
"""

from serjax.config.experiment import Experiment
from serjax.data.config import DataConfig, FoldsConfig
from serjax.models.speech import Speech
from serjax.training.config import OptimizerConfig, TrainConfig


def experiment() -> Experiment:
    """Return the experiment: actors 1 to 18 train, 19 to 21 validate, 22 to 24 test; the last two layers are tuned."""
    return Experiment(
        name="wavlm_ravdess",
        data=DataConfig(corpus="ravdess", max_seconds=3.0),
        folds=FoldsConfig(
            kind="split_speakers", validation_speakers=("19", "20", "21"), test_speakers=("22", "23", "24")
        ),
        model=Speech(
            family="wavlm",
            checkpoint="microsoft/wavlm-base",
            pooling="mean",
            head="relu",
            head_size=768,
            dropout=0.2,
            freeze="layers",
            frozen_layers=10,
        ),
        optimizer=OptimizerConfig(
            schedule="cosine",
            warmup=0.0,
            max_lr=1e-4,
            min_lr=1e-5,
            weight_decay=0.0,
            groups=((r"speech_encoder\..*", 0.3),),
        ),
        train=TrainConfig(epochs=30, head_epochs=20, head_lr=1e-3, batch_size=16, patience=10, label_smoothing=0.1),
    )
