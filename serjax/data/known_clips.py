"""Clips that a run has trained on, known again by the hash of their samples.

folds.json holds those of labelled clips, adapted_to.json those of clips without labels.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from serjax.data.folds.fold import read_hashes, read_parts
from serjax.runtime.constraints import read_as
from serjax.runtime.disk import write_text
from serjax.runtime.json_files import LARGEST_LIST

_ADAPTED = "adapted_to.json"


@dataclass(frozen=True)
class _Adapted:
    """Contents of adapted_to.json."""

    hashes: frozenset[str]


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


def write_adapted(folder: Path, hashes: Sequence[str]) -> None:
    """Write the hashes of clips whose sound a run adapts to without their labels.

    Raises:
        UserError: the file cannot be written.
    """
    write_text(folder / _ADAPTED, json.dumps({"hashes": list(hashes)}) + "\n")


def read_adapted(folder: Path) -> frozenset[str]:
    """Return the hashes that `write_adapted` wrote; none where the run adapts to no clips.

    Raises:
        UserError: the file cannot be read.
    """
    path = folder / _ADAPTED
    if not path.is_file():
        return frozenset()
    return read_as(_Adapted, path, "copy it from the run again", largest=LARGEST_LIST).hashes
