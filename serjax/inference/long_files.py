"""Answers for long sound files as wholes, with memory for a few windows of them."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32

from serjax.audio import SAMPLE_RATE
from serjax.audio.mixing import mix
from serjax.audio.stream import SoundStream, open_stream
from serjax.audio.vad import Activity
from serjax.audio.vad_stream import mark_speech
from serjax.data.batching.lengths import crop_start
from serjax.inference.batched import windows_a_call
from serjax.inference.channels import Splitter
from serjax.inference.ensemble import Ensemble
from serjax.inference.inputs import Clip
from serjax.inference.timeline import answer_waves
from serjax.inference.windows import LONG, Window, cut, slide, spread
from serjax.runtime.errors import UserError

Progress = Callable[[str, float, float | None], None]
"""Called with a file, the seconds of it that are done, and its length in s, None where that is not known."""


class Whole(NamedTuple):
    """The answer for a file as a whole.

    Attributes:
        score: Float[np.ndarray, "c"], mean over its windows, of the labels in their order.
        members: Float[np.ndarray, "k c"], the same of each member.
        uncertainty: mean disagreement of the members; None where there is one.
        windows: how many there were.
        rate: of the file, in Hz.
        length: in s.
        heard: stretch that the models heard, in s.
        offset: DC offset of what was read, as a share of its RMS.
        digest: hash of the samples, as a run's folds.json has them; None where the models hear others.
        notes: sentences on what was read.
    """

    score: Float[np.ndarray, "c"]
    members: Float[np.ndarray, "k c"]
    uncertainty: float | None
    windows: int
    rate: int
    length: float
    heard: float
    offset: float
    digest: str | None
    notes: tuple[str, ...]


def is_long(ensemble: Ensemble, clip: Clip, vad: Activity = "none") -> bool:
    """Return True for a sound file that `answer_long` is to answer.

    It is longer than `LONG`, or than what the models hear at once where its windows are weighted by their speech; or
    its length is not known. Models that hear it whole, or filter or trim it before they hear its head, need all of it.
    """
    if not isinstance(clip, (str, Path)) or ensemble.modalities != {"sound"} or ensemble.long_clips == "whole":
        return False
    head = ensemble.long_clips == "head"
    if head and (ensemble.vad != "none" or ensemble.highpass is not None):
        return False
    try:
        with open_stream(clip) as stream:
            seconds, frames = stream.seconds, stream.frames
    except UserError:
        return False  # whoever reads it will say why
    if head and ensemble.crop == "centre" and frames is None:
        return False
    return seconds is None or seconds > (LONG if vad == "none" or head else ensemble.longest / SAMPLE_RATE)


def answer_long(
    ensemble: Ensemble, clip: str | Path, vad: Activity = "none", progress: Progress | None = None
) -> Whole:
    """Return the mean of the answers for the windows of a sound file.

    They are those of the file as a whole (`serjax.inference.windows.spread`) where its length is known, and otherwise
    follow each other. Each is filtered and trimmed for itself.

    Args:
        ensemble: the models, of sound alone.
        clip: path or URL.
        vad: how the share of speech in each window is found, which then is its weight; none: all weigh the same.
        progress: called as windows are done.

    Raises:
        UserError: it cannot be read, or is too short.
    """
    with open_stream(clip) as stream:
        head = ensemble.long_clips == "head"
        # Models that filter or trim hear other samples than were decoded.
        listened = _Listened(stream, hashed=not (ensemble.highpass or ensemble.vad != "none" or head))
        coming = _windows(ensemble, stream, listened.blocks(), "none" if head else vad)
        splitter, size = Splitter(stream, separate=False), windows_a_call(ensemble.longest)
        scores: list[np.ndarray] = []
        members: list[np.ndarray] = []
        doubts: list[np.ndarray] = []
        shares: list[float] = []
        while some := list(islice(coming, size)):
            parts = [splitter(one)[0] for one in some]
            spare = size - len(parts) if scores else 0
            waves = [part.wave for part in parts] + [parts[0].wave] * spare
            score, doubt, each = answer_waves(ensemble, waves, ensemble.longest, stream.source)
            scores.append(score[: len(parts)])
            members.append(each[: len(parts)])
            if doubt is not None:
                doubts.append(doubt[: len(parts)])
            shares += [1.0 if part.speech is None else part.speech for part in parts]
            end = (some[-1].start + some[-1].wave.shape[1]) / SAMPLE_RATE
            if progress is not None:
                progress(stream.source, end, stream.seconds)
    if not scores:
        raise UserError(f"{stream.source}: it holds no samples; record it again.")
    notes = stream.notes
    if not any(shares):
        notes = [*notes, f"{stream.source}: no speech is found in it; all of it is answered."]
        shares = [1.0] * len(shares)
    weights = np.array(shares)
    length = listened.samples / SAMPLE_RATE
    return Whole(
        np.average(np.concatenate(scores), 0, weights).astype(np.float32),
        np.average(np.concatenate(members), 0, weights).astype(np.float32),
        float(np.average(np.concatenate(doubts), 0, weights)) if doubts else None,
        len(weights),
        stream.own_rate,
        max(length, stream.seconds or 0.0) if head else length,
        ensemble.longest / SAMPLE_RATE if head else length,
        listened.offset,
        listened.digest,
        tuple(notes),
    )


def _windows(
    ensemble: Ensemble, stream: SoundStream, blocks: Iterator[Float32[np.ndarray, "t c"]], vad: Activity
) -> Iterator[Window]:
    """Return the windows that are answered."""
    longest = ensemble.longest
    if ensemble.long_clips == "head":
        start = 0 if ensemble.crop == "head" else int(crop_start(stream.frames or 0, longest, "centre"))
        return cut(_until(blocks, start + longest), [start], longest)
    marked = blocks if vad == "none" else mark_speech(blocks, vad, separate=False)
    if stream.frames is None:
        return slide(marked, longest, longest)
    return cut(marked, spread(stream.frames, longest), longest)


def _until(blocks: Iterable[Float32[np.ndarray, "t c"]], end: int) -> Iterator[Float32[np.ndarray, "t c"]]:
    """Yield blocks up to a sample."""
    left = end
    for block in blocks:
        yield block[:left]
        left -= len(block)
        if left <= 0:
            return


class _Listened:
    """Sums over the sound of a stream, which it hands on.

    Attributes:
        samples: how many have come.
    """

    def __init__(self, stream: SoundStream, *, hashed: bool) -> None:
        self._stream = stream
        self._hash = hashlib.blake2b(digest_size=16) if hashed else None
        self.samples = 0
        self._sum = self._squares = 0.0

    def blocks(self) -> Iterator[Float32[np.ndarray, "t c"]]:
        """Yield the blocks."""
        for block in self._stream.blocks:
            wave = mix(block).wave
            self.samples += len(wave)
            self._sum += float(wave.sum(dtype=np.float64))
            self._squares += float(np.square(wave, dtype=np.float64).sum())
            if self._hash is not None:
                self._hash.update(np.ascontiguousarray(wave, "<f4").data)
            yield block

    @property
    def offset(self) -> float:
        """DC offset as a share of the RMS, see `serjax.audio.highpass.dc_offset`."""
        if not self._squares:
            return 0.0
        return abs(self._sum / self.samples) / float(np.sqrt(self._squares / self.samples))

    @property
    def digest(self) -> str | None:
        """Hash of the samples, see `serjax.data.store.decoded.content_hash`."""
        return None if self._hash is None else self._hash.hexdigest()
