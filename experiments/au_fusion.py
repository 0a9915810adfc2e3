"""Facial action units of RAVDESS's videos and the sound of its clips, weighted by a gate, on six folds of four actors.

Command: python -m serjax.train --exp au_fusion --data.root RAVDESS --model.video.face-features ravdess_au_mfcc.npz
    Ten points better from a run of audio_cnn on the same folds: --warm-start.audio RUN --train.epochs 15
Needs: RAVDESS speech, and an archive of a vector a clip: ids such as 01-01-05-01-02-01-12, au [clips 35].
Takes: 24 minutes of one core.
Expect: docs/results/audio-visual.md has scores of sound, face and both.
"""

from serjax.audio.config import AugmentConfig
from serjax.config.experiment import Experiment
from serjax.data.config import FoldsConfig
from serjax.models.fusion.config import Fusion
from serjax.models.spectrogram import Spectrogram
from serjax.training.config import OptimizerConfig, TrainConfig


def experiment() -> Experiment:
    """Return the experiment: AudioCNN on sound, a hidden layer on action units."""
    groups = ("01,11,20,21", "04,10,12,14", "08,09,19,23", "03,05,07,24", "02,15,16,18", "06,13,17,22")
    return Experiment(
        name="au_fusion",
        folds=FoldsConfig(kind="speaker_groups", groups=groups),
        model=Fusion(kind="gated", audio=Spectrogram(family="audio_cnn")),
        optimizer=OptimizerConfig(schedule="cosine", warmup=0.05, max_lr=1e-3, min_lr=1e-5),
        train=TrainConfig(epochs=30, batch_size=32, patience=15, label_smoothing=0.1),
        augment=AugmentConfig(mel_masks=2, time_masks=2),
    )
