"""Recordings that lie inside a table or a record, as files of their own, for a store reads files."""

import contextlib
import hashlib
import io
import os
import re
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from jaxtyping import Shaped

from serjax.runtime.disk import disk_errors
from serjax.runtime.errors import UserError

FOLDER = "embedded"
"""Folder of these files below the cache."""

NOTE = f"Sound that lies in its records is kept as files in the folder {FOLDER} of the cache."
"""Sentence on a corpus of which there are such files."""

_LONGEST = 80
"""Characters of a clip's name in that of its file."""

_MAGIC = (
    (b"RIFF", ".wav"),
    (b"RF64", ".rf64"),
    (b"fLaC", ".flac"),
    (b"OggS", ".ogg"),
    (b"ID3", ".mp3"),
    (b"FORM", ".aiff"),
    (b".snd", ".au"),
)
"""First bytes of formats that libsndfile reads, and their suffixes."""


class EmbeddedFiles:
    """A folder of files that are named by a hash of their contents, and by their clip, which messages then tell.

    A recording is written once; a call that was stopped finds what it wrote. A file is there whole or not at all.

    Attributes:
        folder: that holds them, below the cache.
        written: how many were not there before.
    """

    def __init__(self, cache: Path) -> None:
        self.folder, self.written = cache.absolute() / FOLDER, 0

    def put(self, content: bytes, name: str) -> Path:
        """Return the file of a recording, which is written where it is missing.

        Args:
            content: bytes of a sound file.
            name: of the clip, or by which its table calls it; a suffix is taken where the first bytes tell none.

        Raises:
            UserError: the folder cannot be written, or the disk is full.
        """
        suffix = _suffix(content) or Path(name).suffix.lower() or ".wav"
        digest = hashlib.blake2b(content, digest_size=16).hexdigest()
        # Some file systems are slow with many files in one folder.
        readable = re.sub(r"[^\w.-]+", "_", re.sub(r"\.\w+$", "", name))[-_LONGEST:]
        path = self.folder / digest[:2] / f"{digest}-{readable}{suffix}"
        with disk_errors(self.folder, "--data.cache"):
            if not (path.is_file() and path.stat().st_size == len(content)):
                _write(path, content)
                self.written += 1
        return path

    def put_samples(self, samples: Shaped[np.ndarray, "t *c"], rate: int, name: str, where: str) -> Path:
        """Return a WAV file of samples: PCM of 16 bits for integers, else floats of 32 bits.

        Args:
            samples: integers of any type whose values fit 16 bits, as sound files have them, or floats in -1..1.
            rate: in Hz.
            name: of the clip.
            where: the clip, for messages.

        Raises:
            UserError: samples of another shape or type, or beyond 16 bits; or as of `put`.
        """
        if samples.ndim not in (1, 2):
            raise UserError(
                f"{where}: its samples have the shape {samples.shape}; expected [samples] or with channels."
            )
        if samples.dtype.kind == "f":
            kind, stored = "FLOAT", samples.astype(np.float32)
        elif samples.dtype.kind in "iu":
            low, high = (int(samples.min()), int(samples.max())) if samples.size else (0, 0)
            if low < -(2**15) or high >= 2**15:
                raise UserError(
                    f"{where}: its samples lie between {low} and {high}, which 16 bits do not hold, and nothing says "
                    "which number is full scale; prepare the set with 16 bits, or as floats in -1..1."
                )
            kind, stored = "PCM_16", samples.astype(np.int16)
        else:
            raise UserError(f"{where}: its samples are of type {samples.dtype}; expected integers or floats.")
        file = io.BytesIO()
        soundfile.write(file, stored, rate, format="WAV", subtype=kind)
        return self.put(file.getvalue(), name)


def _suffix(content: bytes) -> str | None:
    """Return the suffix of a sound file by its first bytes; None where they tell nothing."""
    for magic, suffix in _MAGIC:
        if content.startswith(magic):
            return suffix
    if content[4:8] == b"ftyp":  # MPEG-4
        return ".m4a"
    # A frame of MPEG audio begins with eleven bits; two later ones are the layer, which AAC has not.
    if len(content) > 1 and content[0] == 0xFF and content[1] >= 0xE0:
        return ".mp3" if content[1] & 0b110 else ".aac"
    return None


def _write(path: Path, content: bytes) -> None:
    """Write a file under a name of its own, and rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, unfinished = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(unfinished, 0o644)
        os.replace(unfinished, path)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
