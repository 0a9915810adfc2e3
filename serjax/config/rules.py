"""Values and combinations that no experiment can have, told before anything is read."""

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from serjax.config.experiment import Experiment, WarmStart
from serjax.models.fusion import config as fusion_config
from serjax.models.fusion.config import FusionConfig
from serjax.runtime.errors import UserError
from serjax.video.config import VideoConfig

Rule = tuple[tuple[str, ...], Callable[[float], bool], str]
"""Fields, what each number in them must satisfy, and that in words."""


def check(experiment: Experiment) -> None:
    """Look for values that no experiment can have.

    Raises:
        UserError: names the first field that does not fit.
    """
    check_values(experiment, _RULES)
    check_name(experiment.name)
    train, rates = experiment.train, experiment.train.learning_rates
    if train.batch_size % train.accumulate:
        raise UserError(
            f"train.accumulate is {train.accumulate}; it must be a divisor of train.batch_size ({train.batch_size})."
        )
    if len(set(rates)) < len(rates):
        raise UserError(f"train.learning_rates is {rates}; it must name each rate once.")
    if rates and experiment.optimizer.max_lr is not None:
        raise UserError("optimizer.max_lr and train.learning_rates are both given; leave out one of them.")
    if experiment.first_epochs and (experiment.model.frozen == "trunk" or experiment.model.size is not None):
        raise UserError(
            f"train.head_epochs is {experiment.first_epochs}; it must be 0 where the trunk stays frozen or starts "
            "from random weights (model.size)."
        )
    _check_network(experiment)
    _check_window(experiment)
    _check_augment(experiment)
    _check_video(experiment)
    if experiment.folds.path is not None and experiment.folds.kind != "files":
        raise UserError("folds.path is given, but folds.kind is not files; say --folds.kind files, or leave it out.")


def check_name(name: str) -> None:
    """Look whether a run folder can have this name.

    Raises:
        UserError: it cannot.
    """
    if name != Path(name).name or name in ("", ".", ".."):
        raise UserError(f"name is {name!r}; it must be the name of a folder below --out.")


def check_values(experiment: Any, rules: Iterable[Rule]) -> None:
    """Look for numbers of an experiment that are not finite, or that a rule forbids.

    Raises:
        UserError: names the first field that does not fit.
    """
    values = _flat(asdict(experiment))
    for name, value in values.items():
        if any(isinstance(number, float) and not math.isfinite(number) for number in _numbers(value)):
            raise UserError(f"{name} is {value}; it must be finite.")
    for names, fits, expected in rules:
        for name in names:
            if values[name] is not None and not all(fits(number) for number in _numbers(values[name])):
                raise UserError(f"{name} is {values[name]}; it must be {expected}.")


def _check_network(experiment: Experiment) -> None:
    model = experiment.model
    if not model.is_encoder:
        fused = model.family == "fusion"
        wavlm = fused and experiment.fusion.audio == "wavlm"
        start = wavlm or model.family == "efficientnet"
        for name, given in (
            ("model.size", model.size is not None and not wavlm),
            ("model.freeze", model.frozen != "nothing"),
            ("model.weighted_layers", model.weighted_layers),
            ("model.final_dropout", model.final_dropout > 0),
            ("train.head_epochs", experiment.first_epochs > 0 and not fused),
            ("model.checkpoint", model.checkpoint is not None and not start),
        ):
            if given:
                raise UserError(f"{name} is given, but model.family {model.family} knows no such thing; leave it out.")


def _check_window(experiment: Experiment) -> None:
    window, seconds = experiment.data.window, experiment.data.seconds
    if window is None:
        return
    if experiment.model.family != "bilstm":
        raise UserError(
            f"data.window is given, but model.family {experiment.model.family} knows no such thing; leave it out."
        )
    if not SHORTEST_WINDOW <= window <= seconds:
        raise UserError(
            f"data.window is {window:g}; it must be from {SHORTEST_WINDOW:g} s to data.seconds ({seconds:g} s)."
        )


def _check_augment(experiment: Experiment) -> None:
    model, augment = experiment.model, experiment.augment
    for options, p in ((augment.noise, augment.noise_p or augment.noise_levels), (augment.rooms, augment.rooms_p)):
        if options is not None and not p:
            raise UserError(
                f"augment names the folder {options}, but its probability is 0; give --augment.noise-p or "
                "--augment.rooms-p, or leave the folder out."
            )
    wants = any((augment.speeds, augment.gain_p, augment.noise_p, augment.noise_levels, augment.rooms_p))
    if augment.mixup and model.sees:
        raise UserError(f"augment.mixup is given, but model.family {model.family} mixes no videos; leave it out.")
    if augment.mixup and model.frozen == "trunk":
        raise UserError("augment.mixup is given, but a frozen trunk hears every clip once as it is; leave it out.")
    if augment.mixup_of == "features" and (model.is_encoder or not augment.mixup):
        raise UserError(
            "augment.mixup_of is features; it needs augment.mixup above 0, and a network on spectrograms or hand-made "
            "values; leave it out."
        )
    if model.is_encoder and (wants or augment.mel_masks or augment.time_masks):
        raise UserError(
            f"augment is given, but model.family {model.family} takes augment.mixup only; leave the others out."
        )
    low, high = augment.noise_snr
    if low > high or sum(p for p, _ in augment.noise_levels) > 1:
        raise UserError("augment.noise_snr must rise, and probabilities of augment.noise_levels add up to 1 or less.")


def _check_video(experiment: Experiment) -> None:
    model, video, fusion = experiment.model, experiment.video, experiment.fusion
    for name, given, known in (
        ("video", video != VideoConfig(), model.sees),
        ("fusion", fusion != FusionConfig(), model.family == "fusion"),
        ("warm_start", experiment.warm_start != WarmStart(), model.family == "fusion"),
        ("search", any(getattr(experiment.search, name) for name in FUSION_SEARCH), model.family == "fusion"),
    ):
        if given and not known:
            raise UserError(f"{name} is given, but model.family {model.family} knows no such thing; leave it out.")
    for name, given in (("drawn", video.drawn), ("checkpoint", video.checkpoint is not None)):
        if video.units is not None and given:
            raise UserError(f"video.{name} and video.units are both given; leave out one of them.")
    low, high = video.augment.brightness
    if low > high:
        raise UserError(f"video.augment.brightness is {low:g} to {high:g}; it must rise.")
    rates = (fusion.head_rate, fusion.audio_rate, fusion.video_rate, fusion.trunk_rate)
    if experiment.optimizer.groups and set(rates) != {1.0}:
        raise UserError("optimizer.groups and rates of fusion are both given; leave out one of them.")
    if model.family == "fusion":
        fusion_config.check(fusion)


SHORTEST_WINDOW = 0.128
"""Seconds of the hand-made values' Fourier window, below which they are of padding more than of sound."""

FUSION_SEARCH = ("d_model", "heads", "dropout", "stochastic_depth")
"""What a search varies of a fusion."""

_RULES: tuple[Rule, ...] = (
    (("seed",), lambda x: 0 <= x < 2**32, "from 0 to 4294967295"),
    (("data.seconds", "optimizer.max_lr", "optimizer.clip_norm", "optimizer.epsilon"), lambda x: x > 0, "above 0"),
    (("train.learning_rates", "train.head_lr"), lambda x: x > 0, "above 0"),
    (
        ("optimizer.min_lr", "optimizer.weight_decay", "model.frozen_layers", "train.head_epochs"),
        lambda x: x >= 0,
        "0 or more",
    ),
    (
        ("train.epochs", "train.batch_size", "train.accumulate", "train.patience", "train.seeds"),
        lambda x: x >= 1,
        "1 or more",
    ),
    (("model.head_size", "model.attention_size"), lambda x: x >= 1, "1 or more"),
    (("optimizer.warmup", "model.mask_time_prob", "model.mask_feature_prob"), lambda x: 0 <= x <= 1, "from 0 to 1"),
    (
        ("augment.gain_p", "augment.noise_p", "augment.rooms_p", "augment.mask_p"),
        lambda x: 0 <= x <= 1,
        "from 0 to 1",
    ),
    (("augment.speeds",), lambda x: 0.1 <= x <= 10, "from 0.1 to 10"),
    (("augment.gain", "augment.mixup", "augment.mel_masks", "augment.time_masks"), lambda x: x >= 0, "0 or more"),
    (("augment.mel_width", "augment.time_width"), lambda x: x >= 1, "1 or more"),
    (("data.level",), lambda x: x <= 0, "0 dB or less"),
    (("video.frames", "fusion.common", "fusion.d_model", "fusion.heads"), lambda x: x >= 1, "1 or more"),
    (("video.size",), lambda x: x >= 32, "32 pixels or more"),
    (
        ("video.augment.blur_p", "video.augment.brightness_p", "video.augment.noise_p", "video.augment.noise"),
        lambda x: 0 <= x <= 1,
        "from 0 to 1",
    ),
    (
        ("video.augment.brightness", "fusion.head_rate", "fusion.audio_rate", "fusion.video_rate", "fusion.trunk_rate"),
        lambda x: x >= 0,
        "0 or more",
    ),
    (
        ("fusion.dropout", "fusion.attention_dropout", "fusion.stochastic_depth"),
        lambda x: 0 <= x < 1,
        "from 0 to below 1",
    ),
    (("fusion.modality_dropout",), lambda x: 0 <= x <= 0.5, "from 0 to 0.5, for either modality"),
    (("model.dropout", "model.final_dropout", "model.layerdrop"), lambda x: 0 <= x < 1, "from 0 to below 1"),
    (("optimizer.beta1", "optimizer.beta2", "train.label_smoothing"), lambda x: 0 <= x < 1, "from 0 to below 1"),
)
"""What the numbers of an experiment must satisfy."""


def _flat(fields: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    pairs: dict[str, Any] = {}
    for name, value in fields.items():
        pairs |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return pairs


def _numbers(value: Any) -> list[float]:
    """Return the numbers in a field: itself, or those in its tuples."""
    if isinstance(value, (tuple, list)):
        return [number for part in value for number in _numbers(part)]
    return [value] if isinstance(value, (int, float)) else []
