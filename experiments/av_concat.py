"""Sound and video, each projected to 256 values, side by side.

Command: python -m serjax.train --exp av_concat --data.root RAVDESS [--data.audio-root SOUNDS]
    Everything else is asked for as with `av_gated`.
Needs: videos and their sounds, in files of their own or inside the videos.
Takes: docs/results/benchmarks.md has the time of a step of av_gated. 24,263,576 parameters for eight classes.
Expect: no figure is published.
"""

from dataclasses import replace

import serjax
from serjax.config.experiment import Experiment
from serjax.models.fusion.config import Fusion


def experiment() -> Experiment:
    """Return the experiment, which is `av_gated`'s with another fusion."""
    return replace(serjax.experiment("av_gated"), name="av_concat", model=Fusion(kind="concat"))
