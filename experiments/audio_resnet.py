"""ResNet18 without its shortcuts on 64-mel spectrograms, after an audio-visual fusion system's network.

Command: python -m serjax.train --exp audio_resnet --data.root DIR
    The splits of its system on RAVDESS are asked for as with `audio_cnn`.
Needs: a folder of recordings; noise recordings are welcome (--augment.noise DIR), else noise is Gaussian.
Takes: twenty seconds an epoch and fold on two cores for a thousand clips. 12,785,224 parameters for eight classes.
Expect: docs/results/scores.md has its scores. The audio networks of its paper were scored on speakers they
    knew (0.8133).
"""

from dataclasses import replace

import serjax
from serjax.config.experiment import Experiment
from serjax.models.spectrogram import Spectrogram


def experiment() -> Experiment:
    """Return the experiment, which is `audio_cnn`'s with the larger network."""
    return replace(serjax.experiment("audio_cnn"), name="audio_resnet", model=Spectrogram(family="audio_resnet18"))
