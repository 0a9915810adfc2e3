"""Vectors of clips out of an archive, such as facial action units averaged over each clip."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int, Int32

from serjax.data.utterance import Utterance
from serjax.runtime import arrays
from serjax.runtime.errors import UserError, one_of


class FaceFeatures:
    """The vectors of an archive for the clips of a corpus, one a clip.

    Attributes:
        values: [clips 1 d], in the order of the clips.
        hashes: of each clip's vector.
    """

    values: Float32[np.ndarray, "clips 1 d"]
    hashes: tuple[str, ...]

    def __init__(self, values: Float32[np.ndarray, "clips 1 d"]) -> None:
        """Keep the values."""
        self.values = values
        self.hashes = tuple(hashlib.blake2b(row.tobytes(), digest_size=16).hexdigest() for row in values)

    def rows(self, clips: Int[np.ndarray, "*k b"]) -> tuple[Float32[np.ndarray, "*k b 1 d"], Int32[np.ndarray, "*k b"]]:
        """Return some clips' values, and how many vectors each clip has."""
        return self.values[clips], np.ones(clips.shape, np.int32)


def read_archive(path: str) -> tuple[list[str], Float32[np.ndarray, "clips d"]]:
    """Read `ids` and `au` of an .npz archive.

    Raises:
        UserError: it cannot be read, lacks an array, or its values are not finite numbers, a row an id.
    """
    remedy = "give an .npz of ids and au as --model.video.face-features"
    ids, au = arrays.read_archive(Path(path), ["ids", "au"], remedy=remedy)
    if ids.ndim != 1 or ids.dtype.kind not in "US" or au.dtype.kind not in "fiu":
        raise UserError(
            f"--model.video.face-features {path}: ids are {ids.dtype} and au {au.dtype}; give names, and a row of "
            "numbers for each."
        )
    names = [name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name) for name in ids.tolist()]
    with np.errstate(over="ignore"):  # what float32 does not hold is not finite, which is refused below
        values = au.astype(np.float32)
    if values.ndim != 2 or len(values) != len(names) or not np.isfinite(values).all():
        raise UserError(
            f"--model.video.face-features {path}: au is {list(values.shape)} for {len(names)} ids; "
            "give finite rows, one an id."
        )
    return names, values


def read_face_features(path: str, clips: Sequence[Utterance]) -> FaceFeatures:
    """Return the values of each clip, found by the name of its file.

    Names in RAVDESS's manner agree where all but their first field, the modality, does.

    Raises:
        UserError: the archive cannot be read, or lacks a clip.
    """
    ids, values = read_archive(path)
    places = {_key(name): row for row, name in enumerate(ids)}
    absent = [clip.id for clip in clips if _key(clip.path.stem) not in places]
    if absent:
        raise UserError(
            f"--model.video.face-features {path}: it has no row for {one_of(absent)}; give one for each clip."
        )
    return FaceFeatures(values[[places[_key(clip.path.stem)] for clip in clips]][:, None])


def _key(name: str) -> str:
    fields = name.split("-")
    return "-".join(fields[1:]) if len(fields) == 7 and all(field.isdigit() for field in fields) else name
