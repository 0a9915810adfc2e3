"""Command-line options of experiments: choice of a family of models, and options that do not exist, or no longer."""

import difflib
import itertools
import os
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from serjax.runtime.constraints import validated
from serjax.runtime.errors import UserError

Settings = TypeVar("Settings")

_RENAMED = {
    "data.seconds": "data.max_seconds",
    "data.activity": "data.vad",
    "data.level": "model.target_dbfs",
    "data.fill": "model.pad_mode",
    "data.window": "model.window",
    "augment.speeds": "augment.speed_factors",
    "augment.rooms": "augment.rir",
    "augment.rooms_p": "augment.rir_p",
    "video.units": "model.video.face_features",
    "fusion.audio": "model.audio.family",
    "fusion.trunk_rate": "model.encoder_rate",
    "labels.centres": "labels.centroids",
    "align.labels.centres": "align.labels.centroids",
}
_SEARCHED = {name: f"model.{name}" for name in ("d_model", "heads", "dropout", "stochastic_depth")} | {
    "label_smoothing": "train.label_smoothing"
}
_MOVED = {"video.": "model.video.", "fusion.": "model."}


def refuse_old_names(argv: Sequence[str]) -> None:
    """Refuse options under names that they had before serjax 0.1.0.

    Raises:
        UserError: gives the new name.
    """
    for argument in argv:
        name = argument.removeprefix("--").partition("=")[0].replace("-", "_")
        if not argument.startswith("--"):
            continue
        if name.startswith("search."):
            field = name.removeprefix("search.")
            field = _SEARCHED.get(field, field)
            raise UserError(f"{argument.partition('=')[0]}: this option is called --search {field} now.")
        moved = next((new + name.removeprefix(old) for old, new in _MOVED.items() if name.startswith(old)), None)
        new = _RENAMED.get(name, moved)
        if new is not None:
            raise UserError(f"{argument.partition('=')[0]}: this option is called --{new.replace('_', '-')} now.")


def field_name(option: str) -> str:
    """Return the dotted name of the field that an option sets: `train.batch_size` for `--train.batch-size=8`."""
    return option.removeprefix("--").partition("=")[0].replace("-", "_")


def option_names(settings: Any, path: str = "") -> set[str]:
    """Return the dotted names of all fields that options can set, `no_` of flags among them.

    Args:
        settings: an experiment, or a part of it.
        path: of the part, with a dot.
    """
    found = set()
    for field in fields(settings):
        value = getattr(settings, field.name)
        if is_dataclass(value):
            found |= option_names(value, f"{path}{field.name}.")
        else:
            found |= {f"{path}{field.name}"} | ({f"{path}no_{field.name}"} if isinstance(value, bool) else set())
    return found


def refuse_unknown(settings: Any, argv: Sequence[str], others: Iterable[str] = ()) -> None:
    """Refuse options that an experiment does not have.

    Args:
        settings: the experiment.
        argv: the arguments.
        others: dotted names of further options that the command takes.

    Raises:
        UserError: names the nearest option, or the families of models that have this one.
    """
    known = option_names(settings) | set(others)
    for argument in argv:
        name = field_name(argument)
        if argument == "--":
            return
        if not argument.startswith("--") or name in known or name == "help":
            continue
        given = argument.partition("=")[0]
        _refuse_other_family(settings, name.split("."), given)
        raise UserError(f"{given}: there is no such option; {_nearest(name, known)}")


def families_with(owner: type, path: Sequence[str]) -> tuple[str, list[str]]:
    """Return a part of the settings that is of one of several families, and the families that have a field.

    Args:
        owner: class of an experiment.
        path: of the field, such as ("model", "pooling").

    Returns:
        Dotted name of the part, and the families; none where no family, or no part, has the field.
    """
    for depth, name in enumerate(path[:-1]):
        hints = typing.get_type_hints(owner)
        if name not in hints:
            break
        kinds = _kinds(owner, name)
        if kinds:
            found = [
                family
                for kind in kinds
                if _has(kind, path[depth + 1 :])
                for family in typing.get_args(typing.get_type_hints(kind)["family"])
            ]
            return ".".join(path[: depth + 1]), found
        if not is_dataclass(hints[name]):
            break
        owner = hints[name]
    return "", []


def _refuse_other_family(settings: Any, path: Sequence[str], given: str) -> None:
    """Refuse a field that only settings of another family have.

    Raises:
        UserError: names the families that have it.
    """
    part, families = families_with(type(settings), path)
    if families:
        own: Any = settings
        for step in part.split("."):
            own = getattr(own, step)
        if own.family not in families:
            raise UserError(
                f"{given}: {part}.family is {own.family}, which does not have it; those that do are "
                f"{', '.join(families)}."
            )


def _has(kind: type, path: Sequence[str]) -> bool:
    """Look whether settings of a class, or of one of a union, have a field."""
    first, *rest = path
    hints = typing.get_type_hints(kind)
    if first not in hints or not rest:
        return first in hints
    inner = [hints[first], *_kinds(kind, first)]
    return any(_has(one, rest) for one in inner if isinstance(one, type) and is_dataclass(one))


def _nearest(name: str, known: Iterable[str]) -> str:
    """Return a sentence that names the options which may have been meant."""
    known = sorted(known)
    # Who leaves out the part before the dot has spelt the rest.
    near = [one for one in known if one.rpartition(".")[2] == name.rpartition(".")[2]][:3]
    near = near or difflib.get_close_matches(name, known, 1)
    if not near:
        return "--help all shows all of them."
    meant = " or ".join(f"--{one}" for one in near).replace("_", "-")
    return f"did you mean {meant}?"


def choose_families(settings: Settings, argv: Sequence[str]) -> Settings:
    """Return settings whose parts are of the families that `--PART.family NAME` in the arguments asks for.

    A part of another family has that family's defaults, such as `model` for `--model.family bilstm`, or `model.audio`
    for `--model.audio.family wavlm`. Names that no family of the part has are left to the parser.

    Args:
        settings: an experiment.
        argv: the arguments.
    """
    for name, value in _pairs(argv):
        if name.endswith(".family"):
            settings = _with_family(settings, name.removesuffix(".family").split("."), value)
    return settings


def with_fields(settings: Any, changes: Mapping[str, Any]) -> Any:
    """Return an experiment with other values of some fields, checked.

    Args:
        settings: an experiment.
        changes: values by dotted names, such as `optimizer.max_lr`. Another `model.family` has its own defaults.

    Raises:
        UserError: there is no such field, or a value does not fit.
    """
    # A family first: which other fields there are depends on it.
    for name in sorted(changes, key=lambda name: (not name.endswith("family"), name.count("."))):
        path, value = name.split("."), changes[name]
        _refuse_other_family(settings, path, name)
        if path[-1] == "family":
            settings = _with_family(settings, path[:-1], value)
        settings = _with_field(settings, path, os.fspath(value) if isinstance(value, os.PathLike) else value, name)
    return validated(settings)


def _with_field(settings: Any, path: Sequence[str], value: Any, name: str) -> Any:
    first, *rest = path
    known = [field.name for field in fields(settings)]
    old = getattr(settings, first) if first in known else None
    above = name.removesuffix(".".join(path))
    if rest and first in known and not is_dataclass(old):
        raise UserError(f"{name}: there is no such field; {above}{first} is a value by itself.")
    if first not in known:
        # A word of the name is enough: `lr` stands for `max_lr`.
        near = [one for one in known if first in one.split("_")] or difflib.get_close_matches(first, known, 1)
        found = (
            f"did you mean {' or '.join(above + one for one in near)}?"
            if near
            else f"{above[:-1] or 'it'} has {', '.join(known)}."
        )
        raise UserError(f"{name}: there is no such field; {found}")
    return replace(settings, **{first: _with_field(old, rest, value, name) if rest else value})


def _pairs(argv: Sequence[str]) -> list[tuple[str, str]]:
    """Return options with their values, written as `--name value` or `--name=value`."""
    found = []
    for argument, following in itertools.pairwise([*argv, ""]):
        if argument.startswith("--"):
            name, equals, value = argument.removeprefix("--").partition("=")
            found.append((name.replace("-", "_"), value if equals else following))
    return found


def _with_family(settings: Any, path: Sequence[str], family: str) -> Any:
    first, *rest = path
    if not is_dataclass(settings) or isinstance(settings, type) or not hasattr(settings, first):
        return settings
    if rest:
        return replace(settings, **{first: _with_family(getattr(settings, first), rest, family)})
    for kind in _kinds(type(settings), first):
        if family in typing.get_args(typing.get_type_hints(kind)["family"]) and not isinstance(
            getattr(settings, first), kind
        ):
            return replace(settings, **{first: kind(family=family)})
    return settings


def _kinds(owner: type, field: str) -> tuple[Any, ...]:
    """Return the classes of a field that is a union of settings told apart by `family`."""
    union = typing.get_type_hints(owner)[field]
    return tuple(kind for kind in typing.get_args(union) if is_dataclass(kind))
