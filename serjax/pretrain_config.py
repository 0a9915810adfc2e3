"""Settings of clustering and of masked prediction; defaults are those of frame-level emotional state alignment.

Li et al., "Frame-level emotional state alignment method for speech emotion recognition", ICASSP 2024, which take
k-means from HuBERT's recipe (Hsu et al., 2021) and pretraining from torchaudio's.
"""

from dataclasses import dataclass, field

from serjax.config import DType, OptimizerConfig


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
