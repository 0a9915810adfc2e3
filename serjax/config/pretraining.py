"""Settings of clustering and of masked prediction; defaults are those of frame-level emotional state alignment.

Li et al., "Frame-level emotional state alignment method for speech emotion recognition", ICASSP 2024, which take
k-means from HuBERT's recipe (Hsu et al., 2021) and pretraining from torchaudio's.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from serjax.data.config import DataConfig, FoldsConfig
from serjax.features.kmeans import ClusterConfig
from serjax.training.config import MaskedConfig


@dataclass(frozen=True)
class LabelsConfig:
    """What the labels of frames are clusters of."""

    of: Literal["layer", "mfcc"] = "layer"
    """Hidden states of an encoder's layer, or 39 MFCC values."""
    layer: int = 9
    """0 is the input of the first transformer layer, 9 the output of the ninth."""
    checkpoint: str | None = None
    """Whose layer: a Hugging Face directory or hub id, or a finished run of serjax.pretrain or serjax.train, whose
    folds' encoders then make labels for the same folds. By default model.checkpoint."""
    centres: str | None = None
    """File of centres that are there already, such as HuBERT's official k-means; by default they are fitted."""
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    """How centres are fitted."""


@dataclass(frozen=True)
class StartConfig:
    """What masked prediction starts from."""

    checkpoint: str | None = None
    """Hugging Face directory or hub id of a HuBERT, or a finished run of serjax.pretrain or serjax.train; fold N starts
    from fold N's encoder where each fold has one."""
    size: Literal["tiny", "small", "base", "large"] | None = None
    """Start from random weights of this size; wins over `checkpoint`."""


@dataclass(frozen=True)
class TaptConfig:
    """What task-adaptive pretraining may hear."""

    corpus: Literal["train", "all", "unlabelled"] = "train"
    """train: of each fold the clips that it does not test, so that every fold gets an encoder of its own. all: every
    clip, tested ones too, as the original does; scores then rest on clips that were heard without their labels.
    unlabelled: every sound file below data.root, whose labels are not looked for."""
    more: tuple[str, ...] = ()
    """Folders of further recordings, which every fold hears; their labels are not looked at."""


@dataclass(frozen=True)
class AlignConfig:
    """Steps 2 to 5 of frame-level emotional state alignment, which follow the first pretraining."""

    finetune: str = "hubert_align"
    """Experiment of both fine-tunings: a name, or a .py file."""
    labels: LabelsConfig = field(default_factory=lambda: LabelsConfig(cluster=ClusterConfig(clusters=50)))
    """Step 3: clusters of the fine-tuned encoders' layer."""
    masked: MaskedConfig = field(default_factory=MaskedConfig)
    """Step 4: masked prediction of these labels, from `model` again."""


@dataclass(frozen=True)
class PretrainExperiment:
    """Everything that decides what comes out of pretraining."""

    name: str
    """Name of the run folder."""
    data: DataConfig = field(default_factory=DataConfig)
    folds: FoldsConfig = field(default_factory=FoldsConfig)
    model: StartConfig = field(default_factory=StartConfig)
    tapt: TaptConfig = field(default_factory=TaptConfig)
    labels: LabelsConfig = field(default_factory=LabelsConfig)
    masked: MaskedConfig = field(default_factory=MaskedConfig)
    align: AlignConfig = field(default_factory=AlignConfig)
    steps: Literal["tapt", "cpt"] = "tapt"
    """tapt: labels and masked prediction. cpt: then fine-tuning, labels of the fine-tuned layer, masked prediction of
    these, and fine-tuning again."""
    seed: int = 0
    """Decides folds, centres, initial weights, order, crops, masks and dropout."""
    out: str = "checkpoints"
    """Folder in which the run folder is made."""
    overwrite: bool = False
    """Delete what a finished run, or one of another experiment, left under this name, and start again."""

    @property
    def run_dir(self) -> Path:
        """The run folder, absolute."""
        return (Path(self.out) / self.name).absolute()
