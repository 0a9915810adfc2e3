"""Stretches of recordings, in seconds, as samples."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from serjax.audio.headers import Promise
from serjax.audio.loss import Loss
from serjax.runtime.errors import UserError

_ROUNDING = 0.01
"""Seconds by which the end of a stretch may lie behind the file's: lists round their times."""


def stretch(
    path: Path, frames: int, rate: int, start: float, end: float | None, missing: float = 0.0
) -> tuple[int, int]:
    """Return the first sample of a stretch of a file with so many frames, and the one after its last.

    Args:
        path: for messages.
        frames: that are there.
        rate: in Hz.
        start: where the stretch begins, in s.
        end: where it ends, in s; None means the end of the file.
        missing: seconds by which the file breaks off, in which the stretch may end.

    Raises:
        UserError: the stretch, in s, lies outside of the file.
    """
    seconds = frames / rate
    if start < 0 or (frames and start >= seconds):
        raise UserError(f"{path}: start {start:g} s is outside of the file, which lasts {seconds:.3f} s; correct it.")
    if end is not None and not start < end <= seconds + missing + _ROUNDING:
        raise UserError(
            f"{path}: end {end:g} s is not between start {start:g} s and the file's end at {seconds:.3f} s; correct it."
        )
    return round(start * rate), frames if end is None else min(frames, round(end * rate))


def part_of(
    blocks: Iterable[Float32[np.ndarray, "t c"]],
    path: Path,
    rate: int,
    first: int,
    last: int | None,
    loss: Loss,
    said: Promise | None,
) -> Iterator[Float32[np.ndarray, "t c"]]:
    """Yield what blocks hold from one sample to another."""
    place = 0
    for block in blocks:
        part = block[max(0, first - place) : None if last is None else max(0, last - place)]
        place += len(block)
        if len(part):
            yield part
        if last is not None and place >= last:
            loss.forget_end()  # all of the stretch came
            return
    if said is not None:
        loss.end, loss.more = max(loss.end, said.lost(place / rate)), said.more(place / rate)
    if first and place <= first:
        raise UserError(f"{path}: start {first / rate:g} s is outside of the file, which lasts {place / rate:.3f} s.")
    if last is not None and place < last - _ROUNDING * rate:
        raise UserError(f"{path}: end {last / rate:g} s is behind the file's end at {place / rate:.3f} s; correct it.")
