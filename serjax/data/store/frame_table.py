"""A value or more for every frame of a corpus: one table, in which each clip's frames follow each other."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Int, Int64


class FrameTable:
    """The frames of a corpus.

    Attributes:
        features: Float32 [n d], of all clips; may be a memory-mapped file.
        frames: of each clip.
    """

    def __init__(self, features: Float32[np.ndarray, "n d"], frames: Int[np.ndarray, "clips"]) -> None:
        self.features, self.frames = features, np.asarray(frames, np.int64)
        self._starts = np.cumsum(self.frames) - self.frames

    def of(self, clip: int) -> Float32[np.ndarray, "n d"]:
        """Return a clip's frames: a view."""
        start = self._starts[clip]
        return self.features[start : start + self.frames[clip]]

    def only(self, clips: Sequence[int]) -> "FrameRows":
        """Return the frames of some clips, clip by clip, to be read as they are needed."""
        runs = [np.arange(start, start + self.frames[clip]) for clip in clips for start in self._starts[[clip]]]
        return FrameRows(self.features, np.concatenate([np.zeros(0, np.int64), *runs]))


class FrameRows:
    """Some rows of a table; where rows of it are asked for, only they are read.

    Attributes:
        shape: of the table that the rows make.
        ndim: 2.
    """

    ndim = 2

    def __init__(self, features: Float32[np.ndarray, "n d"], rows: Int64[np.ndarray, "m"]) -> None:
        self._features, self._rows = features, rows
        self.shape = (len(rows), features.shape[1])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: Int64[np.ndarray, "b"] | slice) -> Float32[np.ndarray, "b d"]:
        return self._features[self._rows[rows]]
