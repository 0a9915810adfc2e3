"""Several channels as one: their mean, but for channels that are silent or cancel each other."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32

SILENT_DB = 60.0
"""dB below the loudest channel from which on a channel of a stream counts as silent."""

CANCELLED_DB = 20.0
"""dB below the loudest channel from which on the mean of channels counts as cancelled. The mean of two channels that
have nothing in common lies 3 dB below them, that of one with silence 6 dB."""


class Mix(NamedTuple):
    """One channel made of several.

    Attributes:
        wave: its samples.
        silent: channels that were left out of the mean.
        instead: the channel that was taken because the others cancel it in the mean; None: the mean was taken.
    """

    wave: Float32[np.ndarray, "t"]
    silent: tuple[int, ...] = ()
    instead: int | None = None


def mix(samples: Float32[np.ndarray, "t c"]) -> Mix:
    """Return the mean of the channels that are not silent; where they cancel each other, the loudest channel."""
    count = samples.shape[1]
    if count == 1 or not len(samples):
        return Mix(samples[:, 0] if count == 1 else np.zeros(0, np.float32))
    powers = power(samples)
    heard = np.flatnonzero(powers >= powers.max() / 10 ** (SILENT_DB / 10))
    silent = tuple(int(one) for one in np.setdiff1d(np.arange(count), heard))
    mean = samples[:, heard].mean(1) if silent else samples.mean(1)
    instead = cancelled(power(mean[:, None])[0], powers)
    return Mix(mean, silent) if instead is None else Mix(samples[:, instead], (), instead)


def cancelled(mean: float, powers: Float[np.ndarray, "c"]) -> int | None:
    """Return the loudest channel where the mean of channels lies more than `CANCELLED_DB` below it; else None.

    Args:
        mean: power of the mean.
        powers: of the channels.
    """
    loudest = int(np.argmax(powers))
    return loudest if mean < powers[loudest] / 10 ** (CANCELLED_DB / 10) else None


def power(samples: Float32[np.ndarray, "t c"]) -> Float[np.ndarray, "c"]:
    """Return the mean square of each channel."""
    return np.einsum("tc,tc->c", samples, samples, dtype=np.float64) / max(len(samples), 1)
