"""Clips that a run has trained on, known again by the hash of their samples, which folds.json holds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from serjax.data.folds.fold import read_hashes, read_parts


class Known(NamedTuple):
    """A clip of a run.

    Attributes:
        id: of the clip in the run.
        folds: numbers of the folds in whose training or validation part it was.
    """

    id: str
    folds: tuple[int, ...]


def read_known(folder: Path, folds: Sequence[int]) -> Mapping[str, Known]:
    """Return by their hashes the clips that some of a run's folds have trained on, or chosen their epoch by.

    Args:
        folder: of the run; one without hashes, as of an earlier version or a model of video alone, knows no clip.
        folds: numbers of the folds that are asked.

    Raises:
        UserError: folds.json cannot be read.
    """
    path = folder / "folds.json"
    hashes = read_hashes(path)
    if not hashes:
        return {}
    parts, found = read_parts(path), {}
    for clip, digest in hashes.items():
        trained = [fold for fold in folds if parts.get(clip, {}).get(fold) in ("train", "validation")]
        if trained:
            found[digest] = Known(clip, tuple(trained))
    return found
