"""Sound and video that look at each other by cross-attention, their means weighted by a gate.

Command: python -m serjax.train --exp av_xattn_gated --data.root RAVDESS [--data.audio-root SOUNDS]
    Everything else is asked for as with `av_gated`.
Needs: videos and their sounds, in files of their own or inside the videos.
Takes: docs/results/benchmarks.md has the time of a step of av_gated. 24,255,897 parameters for eight classes,
    24,239,385 with --model.audio-path conv.
Expect: no figure is published.
"""

from dataclasses import replace

import serjax
from serjax.config.experiment import Experiment
from serjax.models.fusion.config import Fusion


def experiment() -> Experiment:
    """Return the experiment, which is `av_gated`'s with another fusion."""
    return replace(serjax.experiment("av_gated"), name="av_xattn_gated", model=Fusion(kind="xattn", head="gated"))
