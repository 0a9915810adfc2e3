"""Levels at which a clip cannot be speech: silence, samples that are no sound, and an offset that hides the sound."""

import numpy as np
from jaxtyping import Float

SILENT = 2.0**-16
"""RMS without the offset up to which a clip counts as silent: half a step of 16 bits."""
GARBAGE = 8.0
"""Peak from which on samples are no sound: 18 dB above full scale, more than any mixing of floats leaves."""
ABSURD = 2.0**31
"""Peak above which nothing is answered: the largest that integers taken for floats reach."""
BURIED = 100.0
"""Times the signal from which on a DC offset hides it."""


def fault(wave: Float[np.ndarray, "t"]) -> str | None:
    """Return why samples cannot be speech, as the end of a sentence; None where they may be."""
    samples = wave.astype(np.float64)
    peak = float(np.abs(samples).max(initial=0.0))
    mean = float(samples.mean()) if len(samples) else 0.0
    signal = float(np.sqrt(np.mean(np.square(samples - mean)))) if len(samples) else 0.0
    if signal <= SILENT:
        return "it is silent, all zero or one value throughout; get it again."
    if peak >= GARBAGE:
        return (
            f"its samples reach {peak:.3g}, where full scale is 1; convert it again, with floats in -1..1 or with "
            "integers."
        )
    if abs(mean) >= BURIED * signal:
        return f"its DC offset is {abs(mean) / signal:.0f} times its signal; a high-pass filter at 20 Hz removes it."
    return None
