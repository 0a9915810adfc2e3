"""Labels of frames: one 16-bit number every 20 ms, all clips in one file, with an index by clip."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, UInt16

from serjax.audio import SAMPLE_RATE
from serjax.runtime.disk import atomic_folder, unwritable
from serjax.runtime.errors import UserError, one_of

_VERSION = 1
MOST = 2**16
"""Clusters that a label can name."""


@dataclass(frozen=True)
class Clock:
    """When frames are: frame i is about samples [hop i, hop i + field) at 16 kHz.

    Attributes:
        hop: Samples from one frame to the next.
        field: Samples that a frame is about.
    """

    hop: int = 320
    field: int = 400

    def frames(self, samples: int) -> int:
        """Return how many frames so many samples make."""
        return max(0, (samples - self.field) // self.hop + 1)

    def samples(self, frames: int) -> int:
        """Return how many samples so many frames take."""
        return self.hop * (frames - 1) + self.field if frames else 0

    def __str__(self) -> str:
        return f"a label every {1000 * self.hop / SAMPLE_RATE:g} ms, about {self.field} samples"


class FrameLabels:
    """The labels that `write_labels` wrote.

    Attributes:
        folder: where they are.
        clusters: number of labels there are.
        clock: when frames are.
        source: what was noted of their making.
    """

    def __init__(self, folder: Path) -> None:
        """Open the folder.

        Raises:
            UserError: it holds no labels, or is damaged.
        """
        self.folder = folder
        try:
            index = json.loads((folder / "index.json").read_text())
            self.clusters, self.clock, self.source = index["clusters"], Clock(**index["clock"]), index["source"]
            counts = np.array(index["frames"], np.int64)
            self._labels = np.load(folder / "labels.npy", mmap_mode="r").view(np.ndarray)
            starts = np.cumsum(counts) - counts
            self._places = dict(zip(index["clips"], zip(starts.tolist(), counts.tolist(), strict=True), strict=True))
            if index["version"] != _VERSION or self._labels.dtype != np.uint16 or counts.sum() != len(self._labels):
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
        start, count = self._places[clip]
        return self._labels[start : start + count]

    def check(self, lengths: Mapping[str, int], clock: Clock) -> None:
        """See that every clip has as many labels as it has frames.

        Args:
            lengths: samples of each clip, by its id.
            clock: that of the encoder which is to predict the labels.

        Raises:
            UserError: labels of another clock, or clips with none or another number of them.
        """
        if self.clock != clock:
            raise UserError(
                f"{self.folder}: its clock is {self.clock}, but the encoder's is {clock}; make labels with features of "
                "the same clock."
            )
        missing = [clip for clip in lengths if clip not in self]
        if missing:
            raise UserError(
                f"{self.folder}: {len(missing)} clips have no labels ({one_of(missing)}); make labels of this corpus."
            )
        for clip, length in lengths.items():
            found, wanted = self._places[clip][1], clock.frames(length)
            if found != wanted:
                raise UserError(
                    f"{self.folder}: {clip} has {found} labels, but its {length} samples make {wanted} frames; the "
                    "recording has changed, so make the labels again."
                )


def write_labels(
    folder: Path,
    labels: Mapping[str, Int[np.ndarray, "n"]],
    clusters: int,
    clock: Clock,
    source: Mapping[str, Any] | None = None,
) -> FrameLabels:
    """Write labels into a new folder, which appears when it is complete.

    Args:
        folder: that does not exist yet.
        labels: of each clip's frames, by the clip's id.
        clusters: number of labels there are.
        clock: when frames are.
        source: what to note of their making, such as the layer and the seed; JSON.

    Raises:
        UserError: a label that there is not, more labels than 16 bits tell apart, or the folder cannot be written.
    """
    if not 1 <= clusters <= MOST:
        raise UserError(f"{clusters} clusters are asked for; labels can tell from 1 to {MOST} apart.")
    for clip, values in labels.items():
        if len(values) and not 0 <= int(values.min()) <= int(values.max()) < clusters:
            raise UserError(
                f"{clip}: a label is {int(values.max())}, but labels go from 0 to {clusters - 1}; use the centres that "
                "the labels were made with."
            )
    index = {
        "version": _VERSION,
        "clusters": clusters,
        "clock": asdict(clock),
        "source": dict(source or {}),
        "clips": list(labels),
        "frames": [len(values) for values in labels.values()],
    }
    whole = np.concatenate([np.zeros(0, np.uint16), *(np.asarray(values, np.uint16) for values in labels.values())])
    try:
        with atomic_folder(folder) as unfinished:
            with (unfinished / "labels.npy").open("wb") as file:
                np.save(file, whole)
            (unfinished / "index.json").write_text(json.dumps(index))
    except OSError as error:
        raise unwritable(folder.parent, error, "--out", whole.nbytes) from None
    return FrameLabels(folder)


def split_labels(
    labels: Int[np.ndarray, "n"], clips: Sequence[str], frames: Int[np.ndarray, "clips"]
) -> dict[str, Int[np.ndarray, "n"]]:
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
