"""Sound and video, each with an answer of its own, and the mean of their probabilities.

Command: python -m serjax.train --exp av_late --data.root RAVDESS [--data.audio-root SOUNDS]
    Everything else is asked for as with `av_gated`.
Needs: videos and their sounds, in files of their own or inside the videos.
Takes: docs/results/benchmarks.md has the time of a step of av_gated. 23,965,840 parameters for eight classes.
Expect: no figure is published.
"""

from dataclasses import replace

import serjax
from serjax.config.experiment import Experiment
from serjax.models.fusion.config import Fusion


def experiment() -> Experiment:
    """Return the experiment, which is `av_gated`'s with another fusion, and plain negative log-likelihood."""
    gated = serjax.experiment("av_gated")
    train = replace(gated.train, label_smoothing=0.0)
    return replace(gated, name="av_late", model=Fusion(kind="late"), train=train)
