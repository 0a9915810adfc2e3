"""Prints of sounds, by which copies are known at another speed, level or pitch, with noise, cut or delayed.

A print is a spectrogram on a logarithmic scale of frequency, whose time is stretched to a fixed number of frames: of
another speed it is then moved in frequency alone. It is compressed above a floor, so that noise below hardly counts,
and its slow changes are taken away, since pauses lie alike in all sentences of a corpus. Its modulation spectrum does
not move with it, and finds the few prints that are worth comparing.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int8

from serjax.audio import SAMPLE_RATE

SIMILARITY = 0.87
"""Correlation from which on two sounds count as copies.

On RAVDESS and EMO-DB copies at 0.8 to 1.25 times the speed, with noise at 10 dB, through 3.4 kHz, or cut by 5 % reach
0.91 and more; two recordings of one sentence in one emotion by one actor 0.86 at most.
"""
_SHORTEST = 0.2
"""Seconds below which a clip has no print."""
_FRAMES, _BANDS = 128, 74
_LOWEST, _OCTAVES = 150.0, 0.0725
"""Hz of the lowest band, and octaves between two: 0.9 and 1.1 times the speed are two bands, nearly."""
_WINDOW, _HOP, _MOST = 1024, 160, 1000
"""Samples of a window and between two, and windows of a clip at most."""
_FLOOR = 0.1
"""Share of the mean power from which on power counts in proportion to its logarithm."""
_SLOW = 4
"""Frames on each side whose mean is taken away."""
_LEAST = 0.05
"""RMS of a print below which there is nothing to compare, as in a steady tone."""
_NEIGHBOURS = 5
"""Prints that each is compared with, those of the most similar modulations,"""
_WORTH = 0.94
"""if these are so similar: copies at another speed, or with noise, have 0.97 and more, those cut by 5 % 0.93."""
_SHIFT = 6
"""Bands by which a copy may be moved: 1.35 times the speed."""
_OVERLAP = 0.7
"""Share of the shorter sound that a cut or delayed copy shares with the other at least."""
_BLOCK = 2048


class Print(NamedTuple):
    """Print of a sound.

    Attributes:
        image: frames by bands; 127 is the largest.
        modulations: of length 1, which do not depend on the speed.
        seconds: length of the sound.
    """

    image: Int8[np.ndarray, "n d"]
    modulations: Float32[np.ndarray, "m"]
    seconds: float


def sound_print(samples: Float32[np.ndarray, "t"]) -> Print | None:
    """Return the print of a sound at 16 kHz; None where it is too short or too even to be told from others."""
    if len(samples) < _SHORTEST * SAMPLE_RATE:
        return None
    hop = max(_HOP, (len(samples) - _WINDOW) // _MOST)
    windows = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::hop]
    spectrum = np.fft.rfft(windows * np.hanning(_WINDOW).astype(np.float32))
    power = np.square(np.abs(spectrum)).astype(np.float32) @ _bands()
    sums = np.concatenate([np.zeros((1, _BANDS)), np.cumsum(power, 0, dtype=np.float64)])
    ends = np.linspace(0, len(power), _FRAMES + 1)
    whole = np.minimum(ends.astype(int), len(power) - 1)
    image = np.diff(sums[whole] + power[whole] * (ends - whole)[:, None], axis=0)
    level = image.mean()
    if not (math.isfinite(level) and level > 0):
        return None
    image = np.log1p(image / (_FLOOR * level))
    image = _fast(image - image.mean(0))
    if math.sqrt(np.square(image).mean()) < _LEAST:
        return None
    modulations = np.sqrt(np.abs(np.fft.fft2(image))[1:25])
    modulations = np.concatenate([modulations[:, :9], modulations[:, -8:]], 1).ravel()
    scaled = np.rint(image * (127 / np.abs(image).max())).astype(np.int8)
    return Print(scaled, (modulations / np.linalg.norm(modulations)).astype(np.float32), len(samples) / SAMPLE_RATE)


def similarity(one: Print, other: Print) -> float:
    """Return how similar two sounds are, up to 1: at another speed, or else cut or delayed."""
    a, b = (print_.image.astype(np.float32) for print_ in (one, other))
    return max(_moved(a, b), _delayed(a, b, other.seconds / one.seconds))


def find_alike(
    prints: Sequence[Print | None],
    same: Callable[[int, int], bool] = lambda one, other: False,
    advance: Callable[[], None] = lambda: None,
) -> list[list[int]]:
    """Return groups of sounds that are copies of one another, as positions.

    Args:
        prints: of all sounds.
        same: whether two are known to be the same, and need not be found.
        advance: called once for each print.
    """
    there = [i for i, one in enumerate(prints) if one is not None]
    if len(there) < 2:
        return []
    table = np.stack([one.modulations for one in prints if one is not None])
    groups: dict[int, int] = {}

    def find(i: int) -> int:
        while (above := groups.get(i, i)) != i:
            i = above
        return i

    for start in range(0, len(there), _BLOCK):
        likeness = table[start : start + _BLOCK] @ table.T
        for row, values in enumerate(likeness):
            i = there[start + row]
            values[start + row] = -1
            count = min(_NEIGHBOURS, len(there) - 1)
            for place in np.argpartition(-values, count - 1)[:count].tolist():
                j = there[place]
                if values[place] < _WORTH or find(i) == find(j) or same(i, j):
                    continue
                one, other = prints[i], prints[j]
                if one is not None and other is not None and similarity(one, other) >= SIMILARITY:
                    first, last = sorted((find(i), find(j)))
                    groups[last] = first
            advance()
    found: dict[int, list[int]] = {}
    for i in there:
        found.setdefault(find(i), []).append(i)
    return [group for group in found.values() if len(group) > 1]


@lru_cache(maxsize=1)
def _bands() -> Float32[np.ndarray, "f d"]:
    """Return triangles on the logarithmic scale, each of weight 1."""
    frequencies = np.fft.rfftfreq(_WINDOW, 1 / SAMPLE_RATE)[:, None]
    edges = _LOWEST * 2 ** (_OCTAVES * np.arange(-1, _BANDS + 1))
    step = SAMPLE_RATE / _WINDOW  # low bands are narrower than a line of the spectrum
    centre = edges[1:-1]
    low, high = np.minimum(edges[:-2], centre - step), np.maximum(edges[2:], centre + step)
    weights = np.minimum((frequencies - low) / (centre - low), (high - frequencies) / (high - centre)).clip(0)
    return (weights / weights.sum(0)).astype(np.float32)


def _fast(image: np.ndarray) -> np.ndarray:
    """Return an image without what changes slowly."""
    sums = np.cumsum(np.pad(image, ((_SLOW + 1, _SLOW), (0, 0)), mode="edge"), 0)
    return image - (sums[2 * _SLOW + 1 :] - sums[: -2 * _SLOW - 1]) / (2 * _SLOW + 1)


def _moved(a: np.ndarray, b: np.ndarray) -> float:
    """Return the correlation at the best shift in frequency, by half bands, and by two frames at most."""
    size = (2 * _FRAMES, 2 * _BANDS)
    product = np.fft.irfft2(np.fft.rfft2(a, size) * np.fft.rfft2(b, size).conj(), size)
    best = -1.0
    near = product[np.arange(-2, 3)[:, None], np.arange(-_SHIFT, _SHIFT + 1)]
    time, band = (int(one) for one in np.unravel_index(near.argmax(), near.shape))
    delay, shift = time - 2, band - _SHIFT
    rows_a, rows_b = slice(max(0, delay), _FRAMES + min(0, delay)), slice(max(0, -delay), _FRAMES + min(0, -delay))
    for half in (-1, 0, 1):
        # Half a band further is the mean of two.
        moved = b if half == 0 else (b + np.roll(b, half, 1)) / 2
        one = a[rows_a, max(0, shift) : _BANDS + min(0, shift)]
        two = moved[rows_b, max(0, -shift) : _BANDS + min(0, -shift)]
        best = max(best, float((one * two).sum() / (np.linalg.norm(one) * np.linalg.norm(two) + 1e-9)))
    return best


def _delayed(a: np.ndarray, b: np.ndarray, ratio: float) -> float:
    """Return the correlation at the best delay, at the speed of both; `ratio` is how much longer b is."""
    frames = round(_FRAMES * ratio)
    if not _FRAMES <= 3 * frames <= 9 * _FRAMES:
        return -1.0
    places = ((np.arange(frames) + 0.5) / frames * _FRAMES - 0.5).clip(0, _FRAMES - 1)
    below = np.minimum(places.astype(int), _FRAMES - 2)
    b = b[below] + (b[below + 1] - b[below]) * (places - below)[:, None]
    size = 1 << math.ceil(math.log2(_FRAMES + frames))
    product = np.fft.irfft((np.fft.rfft(a, size, axis=0) * np.fft.rfft(b, size, axis=0).conj()).sum(1), size)
    sums_a, sums_b = (np.concatenate([[0.0], np.cumsum(np.square(one).sum(1))]) for one in (a, b))
    delays = np.arange(1 - frames, _FRAMES)
    first, last = np.maximum(0, delays), np.minimum(_FRAMES, delays + frames)
    power_a, power_b = sums_a[last] - sums_a[first], sums_b[last - delays] - sums_b[first - delays]
    enough = (last - first >= _OVERLAP * min(_FRAMES, frames)) & (power_a > sums_a[-1] / 2) & (power_b > sums_b[-1] / 2)
    if not enough.any():
        return -1.0
    return float((product[delays] / np.sqrt(power_a * power_b + 1e-9))[enough].max())
