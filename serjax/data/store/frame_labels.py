"""Labels of frames: one 16-bit number every 20 ms, in a ragged array of all clips."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, Integer, UInt16

from serjax.audio import SAMPLE_RATE
from serjax.data.store.ragged import Ragged, RaggedWriter
from serjax.runtime.disk import atomic_folder, disk_errors
from serjax.runtime.errors import UserError, one_of

MOST = 2**16
"""Clusters that a label can name."""
_FILE, _OPTION = "labels", "--out"


@dataclass(frozen=True)
class FrameGrid:
    """Places of frames in a clip at 16 kHz: frame i is computed from samples [hop i, hop i + field).

    Attributes:
        hop_length: samples from one frame to the next (the hop).
        receptive_field: samples that a frame is computed from (the field).
    """

    hop_length: int = 320
    receptive_field: int = 400

    def frames(self, samples: int) -> int:
        """Return the number of frames of so many samples."""
        return max(0, (samples - self.receptive_field) // self.hop_length + 1)

    def samples(self, frames: int) -> int:
        """Return the number of samples from which so many frames are computed."""
        return self.hop_length * (frames - 1) + self.receptive_field if frames else 0

    def __str__(self) -> str:
        return f"every {1000 * self.hop_length / SAMPLE_RATE:g} ms of {self.receptive_field} samples"


class FrameLabels:
    """The labels that `write_labels` wrote.

    Attributes:
        folder: that holds them.
        clusters: number of labels there are.
        grid: places of the frames.
        source: notes on their making.
    """

    def __init__(self, folder: Path) -> None:
        """Open the folder.

        Raises:
            UserError: it holds no labels, or is damaged.
        """
        self.folder = folder
        try:
            self._ragged = Ragged(folder, _FILE)
            facts = self._ragged.facts
            self.clusters, self.grid, self.source = facts["clusters"], FrameGrid(**facts["grid"]), facts["source"]
            self._places = {clip: place for place, clip in enumerate(facts["clips"])}
            if len(self._places) != len(self._ragged) or self._ragged.rows.dtype != np.uint16:
                raise ValueError("index and labels do not agree")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{folder}: these are no frame labels, or they are damaged ({error}); make them again."
            ) from None

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, clip: str) -> bool:
        return clip in self._places

    def of(self, clip: str) -> UInt16[np.ndarray, "n"]:
        """Return the labels of a clip's frames: a read-only view of the file.

        Raises:
            UserError: there are none of this clip.
        """
        if clip not in self._places:
            raise UserError(
                f"{self.folder}: there are no labels of {clip}; make labels of the corpus that is trained on."
            )
        return self._ragged[self._places[clip]]

    def check(self, lengths: Mapping[str, int], grid: FrameGrid) -> None:
        """Check that every clip has as many labels as it has frames.

        Args:
            lengths: samples of each clip, by its id.
            grid: of the encoder that is to predict the labels.

        Raises:
            UserError: labels on another grid, or clips with none or another number of them.
        """
        if self.grid != grid:
            raise UserError(
                f"{self.folder}: its labels are of frames {self.grid}, but the encoder's frames are {grid}; make "
                "labels from features with the same frames."
            )
        missing = [clip for clip in lengths if clip not in self]
        if missing:
            raise UserError(
                f"{self.folder}: {len(missing)} clips have no labels ({one_of(missing)}); make labels of this corpus."
            )
        for clip, length in lengths.items():
            found, wanted = len(self.of(clip)), grid.frames(length)
            if found != wanted:
                raise UserError(
                    f"{self.folder}: {clip} has {found} labels, but its {length} samples make {wanted} frames; the "
                    "recording has changed, so make the labels again."
                )


def write_labels(
    folder: Path,
    labels: Mapping[str, Integer[np.ndarray, "n"]],
    clusters: int,
    grid: FrameGrid,
    source: Mapping[str, Any] | None = None,
) -> FrameLabels:
    """Write labels into a new folder, which appears when it is complete.

    Args:
        folder: that does not exist yet.
        labels: of each clip's frames, by the clip's id.
        clusters: number of labels there are.
        grid: places of the frames.
        source: notes on their making, such as the layer and the seed; JSON.

    Raises:
        UserError: a label that there is not, more labels than 16 bits tell apart, or the folder cannot be written.
    """
    if not 1 <= clusters <= MOST:
        raise UserError(f"{clusters} clusters are asked for; labels can tell from 1 to {MOST} apart.")
    for clip, values in labels.items():
        if len(values) and not 0 <= int(values.min()) <= int(values.max()) < clusters:
            raise UserError(
                f"{clip}: a label is {int(values.max())}, but labels go from 0 to {clusters - 1}; use the centroids "
                "that the labels were made with."
            )
    lengths = np.array([len(values) for values in labels.values()], np.int64)
    with (
        disk_errors(folder.parent, _OPTION),
        atomic_folder(folder) as unfinished,
        RaggedWriter(unfinished, "<u2", items=len(labels), lengths=lengths, name=_FILE, option=_OPTION) as writer,
    ):
        for place, values in enumerate(labels.values()):
            writer.write(place, values)
        facts = {"clusters": clusters, "grid": asdict(grid), "source": dict(source or {}), "clips": list(labels)}
        writer.finish(**facts)
    return FrameLabels(folder)


def split_labels(
    labels: Integer[np.ndarray, "n"], clips: Sequence[str], frames: Int[np.ndarray, "clips"]
) -> dict[str, Integer[np.ndarray, "_"]]:
    """Return each clip's part of the labels of all frames.

    Raises:
        UserError: not as many labels as frames, or two clips of one name.
    """
    if frames.sum() != len(labels):
        raise UserError(f"There are {len(labels)} labels for {frames.sum()} frames; assign all frames of the features.")
    if len(set(clips)) < len(clips):
        twice = sorted({clip for clip in clips if list(clips).count(clip) > 1})
        raise UserError(f"{len(twice)} clips share their name with another ({one_of(twice)}); give each its own.")
    return dict(zip(clips, np.split(labels, np.cumsum(frames)[:-1]), strict=True))
