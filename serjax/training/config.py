"""Settings of training."""

from dataclasses import dataclass, field
from typing import Literal

from serjax.models.base import DType
from serjax.runtime.constraints import AtLeastOne, Count, NotNegative, Positive, Rate, Share
from serjax.runtime.errors import UserError


@dataclass(frozen=True)
class OptimizerConfig:
    """Optimizer and its schedule."""

    kind: Literal["adamw", "lion", "muon", "adafactor", "sgd", "schedule_free_adamw"] = "adamw"
    """muon orthogonalizes the updates of matrices and leaves the rest to Adam; adafactor keeps row and column means of
    squared gradients, and its rates are relative to the size of the parameters; schedule_free_adamw averages parameters
    in place of lowering the rate, and the average is what is validated and saved."""

    schedule: Literal["onecycle", "cosine", "linear", "constant"] = "onecycle"
    """onecycle as PyTorch defines it; cosine and linear rise for `warmup` of the steps, then fall to `min_lr`."""
    max_lr: Positive | None = None
    """Peak learning rate; by default 5e-5 for a pretrained encoder, 1e-3 from random weights or for heads alone."""
    min_lr: NotNegative = 0.0
    """Rate at which cosine and linear end."""
    warmup: Share = 0.3
    """Share of the steps in which the rate rises (OneCycle's pct_start)."""
    weight_decay: NotNegative = 0.01
    """Decoupled weight decay; never on norms and biases."""
    beta1: Rate = 0.9
    """First beta, or momentum of sgd; OneCycle moves it between 0.95 and 0.85 instead."""
    beta2: Rate = 0.999
    """Second beta; 0.99 is usual for lion."""
    epsilon: Positive = 1e-8
    """Added to the denominator of adamw, muon and schedule_free_adamw."""
    clip_norm: Positive | None = 1.0
    """Gradients are scaled down to this global norm."""
    groups: tuple[tuple[str, NotNegative | None], ...] = ()
    """(regular expression, factor) pairs: a parameter's rate is multiplied by the factor of the first full match; None
    freezes it."""

    def check(self) -> None:
        """Refuse a schedule that moves what the optimizer does not have."""
        if self.schedule == "onecycle" and self.kind in ("muon", "adafactor", "schedule_free_adamw"):
            raise UserError(
                f"optimizer.schedule onecycle moves beta1, which optimizer.kind {self.kind} does not follow; give "
                "--optimizer.schedule constant, cosine or linear."
            )
        if self.kind == "schedule_free_adamw" and not self.beta1:
            raise UserError(
                "optimizer.beta1 is 0; schedule_free_adamw divides by it: give a beta1 above 0, such as 0.9."
            )


@dataclass(frozen=True)
class MeshConfig:
    """Layout on the devices; no number of a fine-tuning depends on it, up to rounding."""

    shard: AtLeastOne | Literal["auto"] = "auto"
    """Number of devices over which parameters, gradients, moments of the optimizer and best states are split, a divisor
    of all devices. auto: 1 where they fit each device's memory, else the smallest number with which they do. Heads on a
    frozen encoder are never split."""


@dataclass(frozen=True)
class TrainConfig:
    """How long, in what batches, against what loss."""

    epochs: AtLeastOne = 30
    """Passes over the training clips, at most."""
    batch_size: AtLeastOne = 16
    """Clips a step and fold."""
    accumulate: AtLeastOne = 1
    """Split each batch into this many parts and add up their gradients: less memory, the same result."""
    head_epochs: Count = 0
    """Two stages: first train heads alone on the frozen encoder for at most this many epochs, then what `model.freeze`
    leaves, from each fold's best head."""
    head_lr: Positive = 1e-3
    """Peak learning rate of the first stage."""
    patience: AtLeastOne = 10
    """Stop a fold after this many epochs without a better validation macro-F1."""
    keep: Literal["best", "last"] = "best"
    """Which epoch's model is kept: the one with the highest validation macro-F1, or, where few speakers validate and
    the best epoch is luck, the last of all `epochs`."""
    label_smoothing: Rate = 0.0
    """Share of the target that is spread over all classes."""
    balance: Literal["nothing", "weights", "effective", "sampling"] = "nothing"
    """Against unequal classes: weigh the loss by inverse class frequency, or by inverse effective number of clips (Cui
    et al. 2019), or draw clips by inverse class frequency."""
    learning_rates: tuple[Positive, ...] = ()
    """Train every fold with each of these peak rates, side by side; validation chooses, fold by fold."""
    seeds: AtLeastOne = 1
    """Train every fold with this many seeds, side by side; the report gives mean and spread."""

    def check(self) -> None:
        """Refuse parts that do not divide a batch, and a rate that is given twice."""
        if self.batch_size % self.accumulate:
            raise UserError(
                f"train.accumulate is {self.accumulate}; it must be a divisor of train.batch_size ({self.batch_size})."
            )
        if len(set(self.learning_rates)) < len(self.learning_rates):
            raise UserError(f"train.learning_rates is {self.learning_rates}; it must name each rate once.")


@dataclass(frozen=True)
class MaskedConfig:
    """Masks, targets and loss of masked prediction."""

    mask_prob: Share = 0.8
    """Share of frames that would be masked if spans did not overlap."""
    mask_length: AtLeastOne = 10
    """Frames of a span."""
    min_masks: Count = 2
    """Spans of a clip, at least, where they fit."""
    projection: AtLeastOne = 256
    """Width in which frames and codebook are compared."""
    temperature: Positive = 0.1
    """Cosines are divided by this."""
    unmasked_weight: NotNegative = 0.0
    """Weight of the cross-entropy over frames that are not masked."""
    feature_penalty: NotNegative = 10.0
    """Weight of the mean square of what the convolutions yield."""
    feature_grad_mult: NotNegative = 0.0
    """Gradients of the convolutions are multiplied by this; 0 freezes them (0.1 is HuBERT's from scratch)."""
    seconds: Positive = 87.5
    """Audio of a batch and device, in s."""
    shortest: Positive = 1.0
    """Clips shorter than this many s are left out."""
    longest: Positive = 15.6
    """Of longer clips, a stretch of this many s is taken."""
    updates: AtLeastOne = 20_000
    """Number of updates."""
    accumulate: AtLeastOne = 1
    """Split each batch into this many parts and add up their gradients."""
    dtype: DType = "float32"
    """Number format that the network computes in."""
    remat: bool = False
    """Recompute transformer layers in the backward pass instead of keeping what they computed."""
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(
            schedule="linear", max_lr=5e-4, warmup=0.2, beta2=0.98, epsilon=1e-6, clip_norm=10.0
        )
    )
    """Linear warm-up over a fifth of the updates, then linear to zero."""
    save_every: AtLeastOne = 500
    """Save the state, and tell how it is going, after so many updates."""
