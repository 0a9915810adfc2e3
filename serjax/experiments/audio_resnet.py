"""ResNet18 without its shortcuts on 64-mel spectrograms, after an audio-visual fusion system's network.

Command: python -m serjax.train --exp audio_resnet --data.root RAVDESS
    Its other split, which does not keep speakers apart (1005, 210 and 225 clips):
    --folds.kind split --folds.allow-speaker-overlap --seed 42
Needs: RAVDESS speech as published; noise recordings are welcome (--augment.noise DIR), else noise is Gaussian.
Takes: minutes on two cores for RAVDESS. 12,785,224 parameters for eight classes.
Expect: less than the audio networks of its paper, which were scored on speakers they knew (accuracy 0.8133).
"""

from dataclasses import replace

from serjax.config import Experiment, ModelConfig
from serjax.experiments import audio_cnn


def experiment() -> Experiment:
    """Return the experiment, which is `audio_cnn`'s with the larger network."""
    return replace(audio_cnn.experiment(), name="audio_resnet", model=ModelConfig(family="audio_resnet18"))
