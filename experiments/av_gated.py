"""Sound and video, projected to 256 values each and weighted by a gate, after an audio-visual system.

Command: python -m serjax.train --exp av_gated --data.root RAVDESS [--data.audio-root SOUNDS]
    From trained branches: --warm-start.audio RUN --warm-start.video RUN --stages two
    With WavLM: --model.audio.family wavlm --model.audio.checkpoint microsoft/wavlm-base --model.audio-layers 2
    The splits of its system are asked for as with `video`.
Needs: videos and their sounds, in files of their own or inside the videos.
Takes: docs/results/benchmarks.md has the time of a step. 24,263,833 parameters for eight classes.
Expect: the original reports an accuracy of 0.9333, on speakers it knew.
"""

from serjax.audio.config import AugmentConfig
from serjax.config.experiment import Experiment
from serjax.models.fusion.config import Fusion
from serjax.training.config import OptimizerConfig, TrainConfig


def experiment() -> Experiment:
    """Return the experiment: cosine to 1e-5, label smoothing, noise on half of the clips."""
    return Experiment(
        name="av_gated",
        model=Fusion(kind="gated"),
        optimizer=OptimizerConfig(schedule="cosine", warmup=0.05, max_lr=1e-4, min_lr=1e-5, weight_decay=0.0),
        train=TrainConfig(epochs=30, batch_size=16, patience=10, label_smoothing=0.1),
        augment=AugmentConfig(
            noise_levels=((0.4 / 3, 20.0), (0.4 / 3, 15.0), (0.4 / 3, 10.0), (0.1, 5.0)), mel_masks=2, time_masks=2
        ),
    )
