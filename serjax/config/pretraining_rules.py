"""Values and combinations that no pretraining can have, told before anything is read."""

from serjax.config.pretraining import LabelsConfig, PretrainExperiment
from serjax.config.rules import Rule, check_name, check_values
from serjax.runtime.errors import UserError
from serjax.training.config import MaskedConfig


def check(experiment: PretrainExperiment) -> None:
    """Look for values that no pretraining can have.

    Raises:
        UserError: names the first field that does not fit.
    """
    check_values(experiment, _RULES)
    check_name(experiment.name)
    model, tapt = experiment.model, experiment.tapt
    if model.size is None and model.checkpoint is None:
        raise UserError("--model.checkpoint and --model.size are both missing; give a checkpoint or a size.")
    if experiment.steps == "cpt" and tapt.corpus == "unlabelled":
        raise UserError("steps is cpt, which fine-tunes, but tapt.corpus is unlabelled; say train or all.")
    _check_labels("labels", experiment.labels, scratch=model.size is not None)
    _check_masked("masked", experiment.masked, scratch=model.size is not None)
    if experiment.steps == "cpt":
        align = experiment.align
        if align.labels.checkpoint is not None or align.labels.of == "mfcc":
            raise UserError(
                "align.labels.checkpoint or align.labels.of is given; the labels of step 3 are of the encoders that "
                "step 2 fine-tunes, so leave it out."
            )
        _check_masked("align.masked", align.masked, scratch=model.size is not None)


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


def _both(*fields: str) -> tuple[str, ...]:
    """Return the fields of the first labels and masked prediction, and those of the second."""
    return tuple(f"{prefix}{field}" for prefix in ("", "align.") for field in fields)


_RULES: tuple[Rule, ...] = (
    (("seed",), lambda x: 0 <= x < 2**32, "from 0 to 4294967295"),
    (_both("labels.layer", "labels.cluster.seed"), lambda x: x >= 0, "0 or more"),
    (_both("labels.cluster.clusters"), lambda x: 1 <= x <= 2**16, "from 1 to 65536"),
    (
        _both(
            *(f"labels.cluster.{name}" for name in ("batch_size", "passes", "starts", "patience")),
            *(f"masked.{name}" for name in ("mask_length", "projection", "updates", "accumulate", "save_every")),
        ),
        lambda x: x >= 1,
        "1 or more",
    ),
    (
        _both(
            *(f"labels.cluster.{name}" for name in ("tolerance", "reassign")),
            *(f"masked.{name}" for name in ("min_masks", "unmasked_weight", "feature_penalty", "feature_grad_mult")),
            *(f"masked.optimizer.{name}" for name in ("min_lr", "weight_decay")),
        ),
        lambda x: x >= 0,
        "0 or more",
    ),
    (
        _both(
            *(f"masked.{name}" for name in ("temperature", "seconds", "shortest", "longest")),
            *(f"masked.optimizer.{name}" for name in ("max_lr", "clip_norm", "epsilon")),
        ),
        lambda x: x > 0,
        "above 0",
    ),
    (_both("masked.mask_prob", "masked.optimizer.warmup"), lambda x: 0 <= x <= 1, "from 0 to 1"),
    (_both("masked.optimizer.beta1", "masked.optimizer.beta2"), lambda x: 0 <= x < 1, "from 0 to below 1"),
)
