"""Settings of clustering and of masked prediction; defaults are those of frame-level emotional state alignment.

Li et al., "Frame-level emotional state alignment method for speech emotion recognition", ICASSP 2024, which take
k-means from HuBERT's recipe (Hsu et al., 2021) and pretraining from torchaudio's.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from serjax.config.experiment import check_name
from serjax.data.config import DataConfig, FoldsConfig
from serjax.features.config import ClusterConfig
from serjax.runtime.constraints import Count, Seed
from serjax.runtime.errors import UserError
from serjax.training.config import MaskedConfig, MeshConfig


@dataclass(frozen=True)
class LabelsConfig:
    """Features whose clusters are the labels of frames."""

    of: Literal["layer", "mfcc"] = "layer"
    """Hidden states of an encoder's layer, or 39 MFCC values."""
    layer: Count = 9
    """0 is the input of the first transformer layer, 9 the output of the ninth."""
    checkpoint: str | None = None
    """Encoder of that layer: a Hugging Face directory or hub id, or a finished run of serjax.pretrain or serjax.train,
    whose folds' encoders then make labels for the same folds. By default model.checkpoint."""
    centroids: str | None = None
    """File of centroids that are there already, such as HuBERT's official k-means; by default they are fitted."""
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    """Settings of k-means."""


@dataclass(frozen=True)
class StartConfig:
    """Encoder that masked prediction starts from."""

    checkpoint: str | None = None
    """Hugging Face directory or hub id of a HuBERT, or a finished run of serjax.pretrain or serjax.train; fold N starts
    from fold N's encoder where each fold has one."""
    size: Literal["tiny", "small", "base", "large"] | None = None
    """Start from random weights of this size; wins over `checkpoint`."""
    normalize: bool = True
    """With `size`: bring each clip to zero mean and unit variance before it is encoded. Without, the encoder is told
    how loud a clip is."""


@dataclass(frozen=True)
class TaptConfig:
    """Clips of task-adaptive pretraining."""

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
    """Settings of a pretraining: everything that decides its result."""

    name: str
    """Name of the run folder."""
    data: DataConfig = field(default_factory=DataConfig)
    folds: FoldsConfig = field(default_factory=FoldsConfig)
    model: StartConfig = field(default_factory=StartConfig)
    tapt: TaptConfig = field(default_factory=TaptConfig)
    labels: LabelsConfig = field(default_factory=LabelsConfig)
    masked: MaskedConfig = field(default_factory=MaskedConfig)
    align: AlignConfig = field(default_factory=AlignConfig)
    mesh: MeshConfig = field(default_factory=MeshConfig)
    steps: Literal["tapt", "cpt"] = "tapt"
    """tapt: labels and masked prediction. cpt: then fine-tuning, labels of the fine-tuned layer, masked prediction of
    these, and fine-tuning again."""
    save_as: Literal["float32", "float16"] = "float32"
    """Number format of the weights that are written; float16 halves the file. They are read into float32."""
    seed: Seed = 0
    """Decides folds, centroids, initial weights, order, crops, masks and dropout."""
    out: str = "checkpoints"
    """Folder in which the run folder is made."""
    overwrite: bool = False
    """Delete what a finished run, or one of another experiment, left under this name, and start again."""

    @property
    def run_dir(self) -> Path:
        """The run folder, absolute."""
        return (Path(self.out).expanduser() / self.name).absolute()

    def check(self) -> None:
        """Refuse combinations that no pretraining can have.

        Raises:
            UserError: names the field.
        """
        check_name(self.name)
        model, tapt, scratch = self.model, self.tapt, self.model.size is not None
        if model.size is None and model.checkpoint is None:
            raise UserError("--model.checkpoint and --model.size are both missing; give a checkpoint or a size.")
        if not model.normalize and not scratch:
            raise UserError(
                "model.normalize is False, but model.size is missing: a checkpoint says itself how its input is "
                "prepared; leave it out, or give a size."
            )
        if self.steps == "cpt" and tapt.corpus == "unlabelled":
            raise UserError("steps is cpt, which fine-tunes, but tapt.corpus is unlabelled; say train or all.")
        _check_labels("labels", self.labels, scratch=scratch)
        _check_masked("masked", self.masked, scratch=scratch)
        if self.steps == "cpt":
            labels = self.align.labels
            if labels.checkpoint is not None or labels.of == "mfcc":
                raise UserError(
                    "align.labels.checkpoint or align.labels.of is given; the labels of step 3 are of the encoders "
                    "that step 2 fine-tunes, so leave it out."
                )
            _check_masked("align.masked", self.align.masked, scratch=scratch)


def _check_labels(name: str, labels: LabelsConfig, *, scratch: bool) -> None:
    if labels.of == "layer" and labels.checkpoint is None and scratch:
        raise UserError(
            f"{name}.of is layer, but the encoder starts from random weights (model.size); give {name}.checkpoint, or "
            f"--{name}.of mfcc for a first iteration."
        )
    if labels.of == "mfcc" and labels.checkpoint is not None:
        raise UserError(f"{name}.checkpoint is given, but {name}.of mfcc needs no encoder; leave out one of them.")


def _check_masked(name: str, masked: MaskedConfig, *, scratch: bool) -> None:
    if masked.feature_grad_mult == 0 and scratch:
        raise UserError(
            f"{name}.feature_grad_mult is 0, which freezes the convolutions, but they start from random weights "
            "(model.size); give a value above 0 (0.1 is HuBERT's)."
        )
    if masked.shortest > masked.longest:
        raise UserError(f"{name}.shortest is {masked.shortest:g}; it must be at most {name}.longest.")
    if masked.optimizer.max_lr is None:
        raise UserError(f"{name}.optimizer.max_lr is missing; give a rate such as 5e-4.")
