"""Settings of targets: what they refuse, and what auto is."""

import pytest

from serjax.data.target_config import LOSSES, ONE_CLASS, TargetConfig
from serjax.runtime.constraints import from_json, to_json, validate
from serjax.runtime.errors import UserError


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"kind": "soft", "loss": "ccc"}, "loss ccc is not one of soft; choose of cross_entropy, kl, emd"),
        ({"kind": "dimensions"}, "give it where a target is dimensions"),
        ({"dimensions": ("arousal=1:7",)}, "and only there"),
        ({"kind": "dimensions", "dimensions": ("arousal=7:1",)}, "got arousal=7:1; give each value once"),
        ({"kind": "dimensions", "dimensions": ("arousal",)}, "got arousal; give each value once"),
        ({"kind": "dimensions", "dimensions": ("a=x:1",)}, "got a=x:1"),
        ({"tasks": ("emotion",)}, "emotion: is none; give NAME:KIND"),
        ({"tasks": ("a:class", "a:soft")}, "it must name each task once"),
        ({"tasks": ("a:class:kl",)}, "loss kl is not one of class"),
        ({"tasks": ("a:class:focal:x",)}, "is none; give NAME:KIND"),
        ({"tasks": ("a:class", "b:soft"), "loss": "kl"}, "say both in it, as NAME:KIND:LOSS"),
        ({"tasks": ("a:class", "b:soft"), "weights": (1.0,)}, "has 1 values for 2 target.tasks"),
        ({"weights": "learned"}, "there are not several target.tasks"),
        ({"kind": "soft", "logit_adjustment": 1.0}, "no target is a class"),
        ({"focal_gamma": -1.0}, "target.focal_gamma is -1.0|focal_gamma is -1.0"),
    ],
)
def test_what_does_not_fit_is_refused(given, sentence):
    with pytest.raises(UserError, match=sentence):
        validate(TargetConfig(**given))


def test_tasks_are_read():
    config = TargetConfig(tasks=("emotion:class", "avd:dimensions:mse", "gender:class"), dimensions=("arousal=1:7",))
    validate(config)
    assert config.each == [
        ("emotion", "class", "auto"),
        ("avd", "dimensions", "mse"),
        ("gender", "class", "auto"),
    ]
    assert config.ranges == {"arousal": (1, 7)}
    assert not config.plain
    assert config.needs_label
    assert not TargetConfig(tasks=("gender:class",)).needs_label
    assert not TargetConfig(tasks=("gender:class",)).of_labels
    assert TargetConfig(kind="soft").of_labels
    assert from_json(TargetConfig, to_json(config), "x") == config


def test_one_class_by_cross_entropy_is_plain():
    assert ONE_CLASS.plain
    assert TargetConfig(loss="cross_entropy").plain
    assert not TargetConfig(loss="focal").plain
    assert not TargetConfig(logit_adjustment=1.0).plain
    assert set(LOSSES) == {"class", "soft", "multilabel", "dimensions"}
