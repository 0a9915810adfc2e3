"""Samples of clips, decoded once and kept, or decoded whenever they are read; see `serjax.data.store.decoded`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64, Int64

from serjax.audio import SAMPLE_RATE
from serjax.audio.config import Codec
from serjax.audio.decode import decode
from serjax.audio.faults import fault
from serjax.audio.highpass import dc_offset, highpass
from serjax.audio.kinds import TRACK_SUFFIXES
from serjax.audio.vad import Activity, trim
from serjax.data.store.decoded import Decoded, DecodedClips, decode_once, unusable, usable
from serjax.data.utterance import Utterance
from serjax.runtime.errors import MissingPackage, UserError

_VERSION = 5
"""Part of every key: raised where decoding changes, so that stores of before are not found and made anew."""

CODEC_VERSION = 1
"""Part of the key of clips that passed through a codec: raised where one changes."""


class ClipStore(DecodedClips):
    """The decoded clips of a folder that `open_store` wrote.

    Attributes:
        lengths: of each clip, in samples.
        kept: whether samples are on the disk; else each clip is decoded from its recording whenever it is read.
        untrimmed: number of clips that kept their silence because too little would have been left.
        offsets: of each clip before any filter, the DC offset as a share of its RMS.
    """

    array = "samples"

    lengths: Int64[np.ndarray, "clips"]
    kept: bool
    untrimmed: int
    offsets: Float64[np.ndarray, "clips"]

    def __init__(self, folder: Path, utterances: Sequence[Utterance]) -> None:
        super().__init__(folder, utterances)
        self._vad: Activity = self._ragged.facts.get("vad", "none")
        self._cutoff: float | None = self._ragged.facts.get("cutoff")
        self._codec: Codec | None = self._ragged.facts.get("codec")
        self.kept = "vad" not in self._ragged.facts
        self.lengths = self._ragged.lengths[self._kept] if self.kept else np.array(self._column("samples"), np.int64)
        self.untrimmed = sum(not trimmed for trimmed in self._column("trimmed"))
        self.offsets = np.array(self._column("offset"), np.float64)

    def clip(self, i: int) -> Float32[np.ndarray, "t"]:
        """Return clip i at 16 kHz, read-only: a view of the file, or decoded.

        Raises:
            UserError: its recording is gone, or is no longer what it was when the store was made.
        """
        if not 0 <= i < len(self):
            raise IndexError(f"clip {i} of a store of {len(self)}")
        if self.kept:
            return self._ragged[self._kept[i]]
        clip = self.utterances[i]
        found = _decode(clip, self._vad, self._cutoff, self._codec)
        if found.columns["reasons"] is not None:
            raise UserError(
                f"{clip.path}: it was readable when its clips were indexed, and is no longer "
                f"({found.columns['reasons'].rstrip('.')}); restore it, or start again to index the clips anew."
            )
        if found.columns["hashes"] != self.hashes[i]:
            raise UserError(
                f"{clip.path}: it decodes to other samples than when its clips were indexed; restore it, or start "
                "again to index the clips anew; if it is the same and the machines differ, let decoded clips be kept."
            )
        found.rows.flags.writeable = False
        return found.rows


@dataclass(frozen=True)
class SilentClips:
    """Clips without samples, in place of a `ClipStore` where a model takes video alone; no sound is decoded.

    Attributes:
        utterances: as of a store.
        hashes: of each clip's video frames, which tell copies.
        skipped: a sentence for each utterance that is left out.
    """

    utterances: tuple[Utterance, ...]
    hashes: tuple[str, ...]
    skipped: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.utterances)

    @property
    def lengths(self) -> Int64[np.ndarray, "clips"]:
        """Zero for each clip."""
        return np.zeros(len(self), np.int64)

    def clip(self, i: int) -> Float32[np.ndarray, "0"]:
        """Return no samples."""
        return np.zeros(0, np.float32)


def open_store(
    utterances: Sequence[Utterance],
    folder: Path,
    *,
    skip_bad: bool,
    vad: Activity = "none",
    cutoff: float | None = None,
    keep: bool = True,
    codec: Codec | None = None,
) -> ClipStore:
    """Decode utterances into `folder`, or find them there from an earlier time, as `decode_once` does.

    Args:
        utterances: in the order of the store; several may be stretches of one file.
        folder: of all stores; made where it is missing.
        skip_bad: leave out clips that cannot be used instead of raising.
        vad: how silence is left out.
        cutoff: of a high-pass filter that comes first, in Hz; None: there is none.
        keep: the samples. Otherwise lengths, hashes and reasons alone are kept, which takes decoding every clip once,
            and each clip is decoded again whenever it is read.
        codec: through which clips pass last; None: there is none.

    Raises:
        UserError: clips that cannot be used, all of them in one message, a line each; or `folder` cannot be written,
            or the disk is full.
    """

    if any(clip.path.suffix.lower() in TRACK_SUFFIXES for clip in utterances):
        from serjax.audio import container  # noqa: F401  (a missing package is reported once, and for no single clip)

    if codec is not None:
        from serjax.audio import codec as _  # noqa: F401

    def decoded(clip: Utterance) -> Decoded:
        rows, columns = _decode(clip, vad, cutoff, codec)
        return Decoded(rows, columns) if keep else Decoded(rows[:0], columns | {"samples": len(rows)})

    through = () if codec is None else ("codec", CODEC_VERSION, codec)
    return decode_once(
        ClipStore,
        utterances,
        folder,
        decoded,
        settings=[_VERSION, SAMPLE_RATE, vad, cutoff, *(() if keep else ("index alone",)), *through],
        dtype="<f4",
        skip_bad=skip_bad,
        facts={} if keep else {"vad": vad, "cutoff": cutoff, **({} if codec is None else {"codec": codec})},
    )


def _decode(clip: Utterance, vad: Activity, cutoff: float | None, codec: Codec | None) -> Decoded:
    """Return a clip's samples, or why there are none; a missing package is an error."""
    try:
        wave = decode(clip.path, start=clip.start, end=clip.end)
        filtered = highpass(wave, cutoff)
        said = fault(filtered)
        if said is not None:
            raise UserError(f"{clip.path}: {said}")
        samples, trimmed = trim(filtered, vad)
    except MissingPackage:
        raise
    except UserError as error:
        return unusable(error, clip.path, np.zeros(0, np.float32), trimmed=True, offset=0.0)
    if codec is not None:
        from serjax.audio.codec import coded

        samples = coded(samples, codec)
    return usable(np.asarray(samples, "<f4"), trimmed=trimmed, offset=dc_offset(wave))
