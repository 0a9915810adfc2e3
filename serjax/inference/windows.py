"""Windows of clips that are longer than what a model hears at once."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

LONGEST = 30.0
"""Seconds of a clip that a published classifier hears at once; its attention grows as the square."""


LONG = 60.0
"""Seconds from which on a file is read window by window; shorter ones are decoded, filtered and trimmed as wholes."""


class Window(NamedTuple):
    """A stretch of a clip: its first sample, and its samples in one row for each channel."""

    start: int
    wave: Float32[np.ndarray, "c t"]


def spread(length: int, window: int) -> list[int]:
    """Return where the fewest windows begin that cover a clip, spread evenly, the last one at its end.

    Args:
        length: of the clip, in samples.
        window: length of a window, in samples; a shorter clip has one, of its own length.
    """
    count = max(1, -(-length // window))
    return [round(position) for position in np.linspace(0, max(0, length - window), count)]


def slide(blocks: Iterable[Float32[np.ndarray, "t c"]], window: int, hop: int) -> Iterator[Window]:
    """Yield the windows of sound that comes in blocks; no more than a window and a block is held.

    They begin every `hop` samples. Where the last of them ends before the sound, one more ends with it; sound that is
    shorter than a window is one window of its own length. Empty sound has none.

    Args:
        blocks: of any lengths.
        window: length of a window, in samples.
        hop: from one to the next, in samples, at most `window`.
    """
    held: np.ndarray | None = None
    begin = end = 0
    """First sample of the next window, and of those that were yielded the last end."""
    at = total = 0
    """Place of what is held, and samples that have come."""
    for block in blocks:
        held = block if held is None else np.concatenate([held, block])
        total += len(block)
        while begin + window <= total:
            yield Window(begin, held[begin - at : begin - at + window].T)
            begin, end = begin + hop, begin + window
        # One window before the end is kept, for the last one.
        spare = min(begin, total - window) - at
        if spare > 0:
            held, at = held[spare:], at + spare
    if held is not None and end < total:
        first = max(0, total - window)
        yield Window(first, held[first - at :].T)


def cut(blocks: Iterable[Float32[np.ndarray, "t c"]], starts: Sequence[int], window: int) -> Iterator[Window]:
    """Yield the windows of sound in blocks that begin at given samples, then read on to its end.

    No more than a window and a block is held.

    Args:
        blocks: of any lengths.
        starts: first samples, rising.
        window: length of a window, in samples; one that reaches over the end is as long as there is sound.
    """
    waiting = iter(starts)
    begin, at = next(waiting, None), 0
    held: np.ndarray | None = None
    for block in blocks:
        if begin is None:
            continue
        held = block if held is None else np.concatenate([held, block])
        while begin is not None and begin + window <= at + len(held):
            yield Window(begin, held[begin - at : begin - at + window].T)
            begin = next(waiting, None)
        gone = len(held) if begin is None else min(begin - at, len(held))
        held, at = held[gone:], at + gone
    if held is not None and begin is not None and begin < at + len(held):
        yield Window(begin, held[begin - at :].T)
