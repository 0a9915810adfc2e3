"""Settings of clustering and of masked prediction; defaults are those of frame-level emotional state alignment.

Li et al., "Frame-level emotional state alignment method for speech emotion recognition", ICASSP 2024, which take
k-means from HuBERT's recipe (Hsu et al., 2021) and pretraining from torchaudio's.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from serjax.config import DataConfig, DType, FoldsConfig, OptimizerConfig


@dataclass(frozen=True)
class ClusterConfig:
    """How frames are clustered; meanings are those of scikit-learn's MiniBatchKMeans."""

    clusters: int = 500
    """Number of centres."""
    batch_size: int = 10_000
    """Frames a step."""
    passes: int = 100
    """At most so many times the number of frames is looked at."""
    starts: int = 20
    """k-means++ starts; the one that fits best goes on."""
    patience: int | None = 100
    """Stop after this many steps without a better running mean of the batches' inertia."""
    tolerance: float = 0.0
    """Stop where a step moves centres by less than this share of the frames' variance, squared; 0: never."""
    reassign: float = 0.0
    """Clusters lighter than this share of the heaviest one start again at a random frame; 0: never."""
    seed: int = 1337
    """Decides starts and batches."""


@dataclass(frozen=True)
class MaskedConfig:
    """What is masked, what is predicted, and how the network learns from it."""

    mask_prob: float = 0.8
    """Share of frames that would be masked if spans did not overlap."""
    mask_length: int = 10
    """Frames of a span."""
    min_masks: int = 2
    """Spans of a clip, at least, where they fit."""
    projection: int = 256
    """Width in which frames and codebook are compared."""
    temperature: float = 0.1
    """Cosines are divided by this."""
    unmasked_weight: float = 0.0
    """Weight of the cross-entropy over frames that are not masked."""
    feature_penalty: float = 10.0
    """Weight of the mean square of what the convolutions yield."""
    feature_grad_mult: float = 0.0
    """Gradients of the convolutions are multiplied by this; 0 freezes them (0.1 is HuBERT's from scratch)."""
    seconds: float = 87.5
    """Audio of a batch and device, in s."""
    shortest: float = 1.0
    """Clips shorter than this many s are left out."""
    longest: float = 15.6
    """Of longer clips, a stretch of this many s is taken."""
    updates: int = 20_000
    """Number of updates."""
    accumulate: int = 1
    """Split each batch into this many parts and add up their gradients."""
    dtype: DType = "float32"
    """What the network computes in."""
    remat: bool = False
    """Recompute transformer layers in the backward pass instead of keeping what they computed."""
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(
            schedule="linear", max_lr=5e-4, warmup=0.2, beta2=0.98, epsilon=1e-6, clip_norm=10.0
        )
    )
    """Linear warm-up over a fifth of the updates, then linear to zero."""
    save_every: int = 500
    """Save the state, and tell how it is going, after so many updates."""


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
