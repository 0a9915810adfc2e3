"""The experiment: frozen dataclasses, overridden from the command line, stored as JSON with the run."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pydantic

from serjax.audio.augment import AugmentConfig
from serjax.data.config import DataConfig, FoldsConfig
from serjax.models.config import ModelConfig
from serjax.models.fusion.config import FusionConfig
from serjax.runtime.errors import UserError
from serjax.training.config import OptimizerConfig, TrainConfig
from serjax.video.config import VideoConfig


@dataclass(frozen=True)
class WarmStart:
    """Finished runs whose folds' weights the branches of a fusion start from; folds must be the same."""

    audio: str | None = None
    """Run folder of an audio network or of WavLM."""
    video: str | None = None
    """Run folder of a video network."""


@dataclass(frozen=True)
class SearchConfig:
    """Values to try, in every combination, each in a run of its own; nothing is tried where all are left out."""

    seed: tuple[int, ...] = ()
    """Seeds of the whole experiment: other folds, weights and order."""
    d_model: tuple[int, ...] = ()
    """fusion.d_model."""
    heads: tuple[int, ...] = ()
    """fusion.heads."""
    dropout: tuple[float, ...] = ()
    """fusion.dropout."""
    stochastic_depth: tuple[float, ...] = ()
    """fusion.stochastic_depth."""
    label_smoothing: tuple[float, ...] = ()
    """train.label_smoothing."""


@dataclass(frozen=True)
class Experiment:
    """Everything that decides a run's numbers."""

    name: str
    """Name of the run folder."""
    data: DataConfig = field(default_factory=DataConfig)
    folds: FoldsConfig = field(default_factory=FoldsConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    video: VideoConfig = field(default_factory=VideoConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)
    warm_start: WarmStart = field(default_factory=WarmStart)
    search: SearchConfig = field(default_factory=SearchConfig)
    stages: Literal["auto", "one", "two"] = "auto"
    """two: first train what is no encoder, for train.head_epochs (or 10), then what the rest of the experiment says.
    auto: two where train.head_epochs is given."""
    seed: int = 0
    """Decides folds, initial weights, order, crops, masks and dropout."""
    out: str = "checkpoints"
    """Folder in which the run folder is made."""
    overwrite: bool = False
    """Delete what a finished run, or one of another experiment, left under this name, and start again."""

    @property
    def needs(self) -> frozenset[str]:
        """Which of sound and video the model cannot do without."""
        if self.model.family == "fusion":
            return frozenset() if self.fusion.copes else frozenset({"sound", "video"})
        return frozenset({"video" if self.model.sees else "sound"})

    @property
    def first_epochs(self) -> int:
        """Epochs of the first of two stages; 0 where there is one."""
        epochs = self.train.head_epochs
        return {"auto": epochs, "one": 0, "two": epochs or 10}[self.stages]

    @property
    def run_dir(self) -> Path:
        """The run folder, absolute."""
        return (Path(self.out) / self.name).absolute()


def to_json(experiment: Any) -> str:
    """Return an experiment, or other nested dataclasses, as JSON from which `from_json` rebuilds it."""
    return pydantic.TypeAdapter(type(experiment)).dump_json(experiment, indent=2).decode()


def from_json(text: str, source: str) -> Experiment:
    """Rebuild an experiment; `source` names the file in a `UserError` for what does not fit."""
    try:
        return pydantic.TypeAdapter(Experiment).validate_json(text, extra="forbid")
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        raise UserError(
            f"{source}: {key} does not fit this version of serjax ({first['msg']}); correct the value or train again."
        ) from None


def cache_folder(experiment: Experiment) -> Path:
    """Return the folder that holds those of decoded clips, frames and features: data.cache, or that of the run."""
    return Path(experiment.data.cache or experiment.run_dir.parent).absolute()
