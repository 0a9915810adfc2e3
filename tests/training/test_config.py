"""Settings of training: bounds, parts of a batch, schedules, and rates given twice."""

import pytest

from serjax.runtime.constraints import from_json, to_json, validate
from serjax.runtime.errors import UserError
from serjax.training.config import MaskedConfig, OptimizerConfig, TrainConfig


@pytest.mark.parametrize("config", [OptimizerConfig(), TrainConfig(), MaskedConfig()])
def test_defaults_are_valid_and_survive_json(config):
    validate(config)
    assert from_json(type(config), to_json(config), "x") == config


@pytest.mark.parametrize("kind", ["muon", "adafactor", "schedule_free_adamw"])
def test_onecycle_moves_a_beta1_that_not_every_optimizer_has(kind):
    with pytest.raises(UserError, match=f"which optimizer.kind {kind} does not follow; give --optimizer.schedule"):
        validate(OptimizerConfig(kind=kind))
    validate(OptimizerConfig(kind=kind, schedule="cosine"))


def test_group_without_a_factor_is_frozen_and_valid():
    validate(OptimizerConfig(groups=((r"speech_encoder\..*", None), (r"head\..*", 0.5))))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            TrainConfig(batch_size=16, accumulate=3),
            r"train\.accumulate is 3; it must be a divisor of",
        ),
        (TrainConfig(learning_rates=(1e-3, 1e-3)), r"train\.learning_rates is \(0\.001, 0\.001\); it must name each"),
        (TrainConfig(label_smoothing=1.0), r"label_smoothing is 1\.0; it must be below 1"),
        (TrainConfig(seeds=0), "seeds is 0; it must be 1 or more"),
        (OptimizerConfig(groups=(("head", -1.0),)), "groups is .*; it must be 0 or more"),
        (MaskedConfig(mask_prob=1.5), r"mask_prob is 1\.5; it must be 1 or less"),
        (MaskedConfig(optimizer=OptimizerConfig(warmup=2.0)), r"optimizer\.warmup is 2\.0; it must be 1 or less"),
    ],
)
def test_impossible_settings_are_refused(config, message):
    with pytest.raises(UserError, match=rf"^{message}"):
        validate(config)
