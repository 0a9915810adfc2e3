"""The encoders that a name stands for: one checkpoint, or a finished run's, which may have one for each fold."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from serjax.checkpoints.huggingface import Pretrained, load_encoder
from serjax.checkpoints.tensors import read_json
from serjax.data.folds import read_parts
from serjax.data.leakage import check_unseen
from serjax.errors import UserError

PRETRAINED = "pretrained.json"
"""What a pretraining has made; the last file that it writes."""
ENCODER = "encoder"
"""Folder of a pretraining's encoder, in the run folder or in those of its folds."""
_HEARD_ALL = "was pretrained on all clips, tested ones too, without their labels."
"""How the sentence ends that goes from a pretraining to all that rests on it."""


class Encoders(NamedTuple):
    """Encoders of one layout.

    Attributes:
        source: what they were asked for by.
        folders: directories or hub ids by number of the fold; under 0 one that serves all.
        parts: part of each clip in each fold, by id; empty where one serves all.
        warning: what a report of scores has to say of them.
    """

    source: str
    folders: Mapping[int, str]
    parts: Mapping[str, Mapping[int, str]]
    warning: str | None = None

    @property
    def shared(self) -> bool:
        """Whether one encoder serves all folds."""
        return 0 in self.folders

    def check(self, fold: int, tested: Sequence[str]) -> None:
        """See that a fold's encoder has not learned from clips that the fold tests, nor was chosen by them.

        Args:
            fold: number of the fold.
            tested: names of its clips.

        Raises:
            UserError: there is no encoder of this fold, it does not know a clip, or it has learned from one.
        """
        if not self.shared:
            check_unseen(self.source, self.parts, tuple(self.folders), fold, tested)

    def of(self, fold: int) -> Pretrained:
        """Load the encoder that serves a fold.

        Raises:
            UserError: it cannot be used.
        """
        return load_encoder(self.folders[0 if self.shared else fold])


def find_encoders(source: str) -> Encoders:
    """Find what `source` names.

    Args:
        source: a Hugging Face directory or hub id, or the folder of a finished run of serjax.pretrain or serjax.train.

    Raises:
        UserError: the run is not finished, or has no encoders.
    """
    folder = Path(source).expanduser()
    if (folder / "config.json").is_file() or not (folder / "experiment.json").is_file():
        return Encoders(source, {0: source}, {})
    if (folder / PRETRAINED).is_file():
        made = read_json(folder / PRETRAINED)
        if "step" in made:
            return find_encoders(str(folder / made["step"]))._replace(source=source)
        heard = f"The encoder of {source} {_HEARD_ALL}" if made["corpus"] == "all" else None
        if made["folds"]:
            folders = {fold: str(folder / f"fold_{fold}" / ENCODER) for fold in made["folds"]}
            return Encoders(source, folders, read_parts(folder / "folds.json"), heard)
        return Encoders(source, {0: str(folder / ENCODER)}, {}, heard)
    if not (folder / "report.json").is_file():
        raise UserError(f"{folder}: the run is not finished; run its command again to go on where it stopped.")
    notes = read_json(folder / "report.json")["facts"]["leakage_notes"]
    heard = next((note for note in notes if note.endswith(_HEARD_ALL)), None)
    if (folder / "trunk").is_dir():
        return Encoders(source, {0: str(folder / "trunk")}, {}, heard)
    folds = read_json(folder / "model.json")["folds"]
    folders = {fold: str(folder / f"fold_{fold}") for fold in folds}
    return Encoders(source, folders, read_parts(folder / "folds.json"), heard)
