"""A BiLSTM on 312 hand-made values, after mser: every tenth clip of a class is tested.

Command: python -m serjax.train --exp bilstm --data.root RAVDESS
    With noise: --augment.noise DIR
Needs: a folder of recordings.
Takes: minutes on two cores for RAVDESS.
Expect: its authors measured an accuracy of 0.687 on RAVDESS. Speakers stand on both sides of this split; bilstm_kfold
    keeps them apart.
"""

from serjax.audio.config import AugmentConfig
from serjax.config.experiment import Experiment
from serjax.data.config import FoldsConfig
from serjax.models.spectrogram import Functionals
from serjax.training.config import OptimizerConfig, TrainConfig


def experiment() -> Experiment:
    """Return the experiment: -20 dB, clips repeated to 3 s, speed, gain and noise, 60 epochs."""
    return Experiment(
        name="bilstm",
        folds=FoldsConfig(kind="every_tenth", validation_share=0.1, allow_speaker_overlap=True),
        model=Functionals(dropout=0.5, target_dbfs=-20.0, pad_mode="repeat"),
        optimizer=OptimizerConfig(
            schedule="cosine", warmup=5 / 60, max_lr=1e-3, min_lr=1e-5, weight_decay=1e-6, clip_norm=None
        ),
        train=TrainConfig(epochs=60, batch_size=32, patience=60),
        augment=AugmentConfig(
            speed_factors=(1.0, 0.9, 1.1), gain=15.0, gain_p=0.2, noise_snr=(10.0, 50.0), noise_p=0.2
        ),
    )
