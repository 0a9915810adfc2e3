"""Contents of a published checkpoint, whatever files it came in."""

from typing import Any, NamedTuple

import numpy as np

from serjax.checkpoints.preprocessor import Preprocessor
from serjax.checkpoints.releases.table import Release
from serjax.models.encoders.config import EncoderConfig
from serjax.models.encoders.families import FAMILIES


class Checkpoint(NamedTuple):
    """Contents of a published checkpoint.

    Attributes:
        source: the directory or hub id that was asked for.
        config: config.json, or what a release has in its place.
        encoder: layout of the encoder that it describes.
        preprocessor: how its input is prepared.
        tensors: weights by PyTorch's key, mapped from the files; without what some classes put before all of them.
        notes: sentences for the user about what was assumed.
        release: whose layout it is; None: that of transformers, or of a head that is told by its keys.
    """

    source: str
    config: dict[str, Any]
    encoder: EncoderConfig
    preprocessor: Preprocessor
    tensors: dict[str, np.ndarray]
    notes: tuple[str, ...]
    release: Release | None = None

    @property
    def prefix(self) -> str:
        """Beginning of the encoder's keys where a head is there too."""
        return FAMILIES[self.encoder.model_type].prefix if self.release is None else self.release.prefix
