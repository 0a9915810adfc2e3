"""ResNet18 on eight frames of a video, the mean over frames: the video branch of the fusions, by itself.

Command: python -m serjax.train --exp video --data.root RAVDESS
    From ImageNet's weights: --model.video.checkpoint microsoft/resnet-18
    The splits of its system: actors 1 to 18 train, 19 to 21 validate, 22 to 24 test,
    --folds.kind split_speakers --folds.validation-speakers 19 20 21 --folds.test-speakers 22 23 24
    or, which does not keep speakers apart, --folds.kind split --folds.allow-speaker-overlap --seed 42
Needs: videos, with sound or without, such as RAVDESS's 02-* or 01-* files, or a folder a class.
Takes: docs/results/benchmarks.md has the time of a step of av_gated. 11,180,616 parameters for eight classes.
Expect: the original reports an accuracy of 0.7778, on speakers it knew.
"""

from serjax.config.experiment import Experiment
from serjax.models.video import Video
from serjax.training.config import OptimizerConfig, TrainConfig


def experiment() -> Experiment:
    """Return the experiment: Adam without decay, a cosine to 1e-5, label smoothing."""
    return Experiment(
        name="video",
        model=Video(),
        optimizer=OptimizerConfig(schedule="cosine", warmup=0.05, max_lr=1e-4, min_lr=1e-5, weight_decay=0.0),
        train=TrainConfig(epochs=30, batch_size=16, patience=10, label_smoothing=0.1),
    )
