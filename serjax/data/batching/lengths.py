"""Lengths of inputs: the part of a clip that is kept, and the lengths to which clips are padded."""

from typing import Literal

import numpy as np
from jaxtyping import Float32, Int, Int64

Crop = Literal["head", "centre"]

FRAME = 320
"""Samples from one frame of a speech encoder to the next; bucket lengths are multiples of it."""


def crop_start(length: Int[np.ndarray, "*n"] | int, samples: int, crop: Crop) -> Int64[np.ndarray, "*n"]:
    """Return where the part of a clip begins that a crop keeps, in samples; for arrays of lengths too."""
    spare = np.maximum(np.asarray(length, np.int64) - samples, 0)
    return np.asarray(spare // 2 if crop == "centre" else np.zeros_like(spare))


def crop_clip(clip: Float32[np.ndarray, "t"], samples: int, crop: Crop) -> Float32[np.ndarray, "s"]:
    """Return the first, or the middle, `samples` of a clip that is longer, else all of it; a view."""
    start = int(crop_start(len(clip), samples, crop))
    return clip[start : start + samples]


def bucket(samples: int, *, smallest: int = 16_000, ratio: float = 1.25) -> int:
    """Return the length to which an input of `samples` is padded, so that few lengths are ever compiled.

    Lengths grow by `ratio` from `smallest`, each rounded up to whole frames of 320 samples: 1 s, 1.26, 1.58, 1.98 ...
    Up to 30 s that makes 17 lengths, and adds 11 % of padding to RAVDESS (3 to 5 s), 12 % to EMO-DB (1.4 to 9 s), 12 %
    to lengths spread evenly up to 30 s. A ratio of 1.1 pads by 5 % but has 36 lengths to compile; doubling has 6 and
    pads by 27 to 41 %.
    """
    length = smallest
    while length < samples:
        length = int(-(-length * ratio // FRAME)) * FRAME
    return length
