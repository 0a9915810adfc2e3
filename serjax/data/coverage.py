"""Share of the sound that crops hear: clips that are longer than `data.max_seconds`."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from serjax.audio import SAMPLE_RATE
from serjax.data.batching.lengths import Crop

TOLD = 0.05
"""Share of the sound that evaluation never hears from which on every run says so."""


class Coverage(NamedTuple):
    """Sound of a corpus that one crop a clip holds.

    Attributes:
        clips: number of clips.
        longer: how many are longer than the crop.
        seconds: of all sound, in s.
        unheard: of it that crops leave out, in s: evaluation never hears it, and training not in the same epoch.
        crop: length of a crop, in s.
    """

    clips: int
    longer: int
    seconds: float
    unheard: float
    crop: float

    @property
    def share(self) -> float:
        """Share of the sound that is left out, 0 to 1."""
        return self.unheard / self.seconds if self.seconds else 0.0


def measure_coverage(lengths: Int64[np.ndarray, "clips"], max_seconds: float) -> Coverage:
    """Return how much of the clips crops of `max_seconds` hold.

    Args:
        lengths: of the clips, in samples.
        max_seconds: length of a crop, in s.
    """
    left = np.maximum(lengths - round(max_seconds * SAMPLE_RATE), 0)
    return Coverage(
        clips=len(lengths),
        longer=int(np.count_nonzero(left)),
        seconds=float(lengths.sum()) / SAMPLE_RATE,
        unheard=float(left.sum()) / SAMPLE_RATE,
        crop=max_seconds,
    )


def unheard_note(coverage: Coverage, crop: Crop) -> str | None:
    """Return a sentence where evaluation never hears more than 5 % of the sound; else None.

    Args:
        coverage: of the clips.
        crop: part of a longer clip that evaluation hears.
    """
    if coverage.share <= TOLD:
        return None
    part = "first" if crop == "head" else "middle"
    return (
        f"Evaluation hears the {part} {coverage.crop:g} s of a clip (data.max_seconds): "
        f"{coverage.longer / coverage.clips:.0%} of the clips are longer, and {coverage.share:.0%} of all sound is "
        "never heard in it."
    )
