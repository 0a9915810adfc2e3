"""Constraints on the values of settings: annotated types, and one check that names the first value that does not fit.

A settings class is a frozen dataclass. Bounds of single values stand in its annotations (`Positive`, `Share`, ...),
rules between fields in its method `check`, which raises a `UserError`; `validate` looks at both, nested settings first.
"""

import json
import sys
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import pydantic
import pydantic_core
from annotated_types import Ge, Gt, Le, Lt

from serjax.runtime.errors import UserError, brief, printable
from serjax.runtime.json_files import LARGEST, parse_json, read_bytes

Finite = Annotated[float, pydantic.AllowInfNan(False)]
Positive = Annotated[Finite, Gt(0)]
NotNegative = Annotated[Finite, Ge(0)]
Share = Annotated[Finite, Ge(0), Le(1)]
Rate = Annotated[Finite, Ge(0), Lt(1)]
"""A probability or decay that cannot be certain."""
Decibels = Annotated[Finite, Le(0)]
"""A level below full scale, in dB."""
ClipSeconds = Annotated[Finite, Ge(0.01), Le(86_400)]
"""The longest stretch of a clip that is heard."""
Count = Annotated[int, Ge(0), Lt(2**31)]
AtLeastOne = Annotated[int, Ge(1), Lt(2**31)]
Width = Annotated[int, Ge(1), Le(1 << 17)]
"""A size of a layer: far above any, and small enough that a model without weights is built in no time."""
Layers = Annotated[int, Ge(0), Le(256)]
Seed = Annotated[int, Ge(0), Lt(2**32)]


def _shown(text: str) -> str:
    if printable(text) != text or set("\n\t") & set(text):
        raise ValueError("it holds control characters")
    return text


def _one_part(text: str) -> str:
    if text in ("", ".", "..") or set(text) & set("/\\\0"):
        raise ValueError("it must be the name of a file or folder here, without / and ..")
    return text


Name = Annotated[str, pydantic.AfterValidator(_shown)]
"""A text that is shown and written on one line, such as a label."""
FileName = Annotated[Name, pydantic.AfterValidator(_one_part)]
"""The name of a file or folder beside the one that names it."""
FoldNumber = Annotated[int, Ge(1), Lt(10_000)]
"""The number of a fold, which names its folder."""

Settings = TypeVar("Settings")


def validate(settings: Any) -> None:
    """See that all values of settings fit their annotations and each other.

    Args:
        settings: a frozen dataclass; fields may be such dataclasses in turn.

    Raises:
        UserError: names the first field that does not fit, such as `optimizer.max_lr`, and what it must be.
    """
    _check(_rebuilt(settings))


def validated(settings: Settings) -> Settings:
    """Return settings whose values are of their fields' types, such as a tuple where a list was given.

    Raises:
        UserError: what `validate` raises.
    """
    found = _rebuilt(settings)
    _check(found)
    return found


def describe(error: pydantic.ValidationError, settings: Any) -> str:
    """Return the first error as a sentence that names the field of `settings` and its value."""
    first = error.errors()[0]
    names, value = [], settings
    for part in first["loc"]:
        # What else pydantic names (the tag of a union, a place in a tuple) is no field.
        if isinstance(part, str) and is_dataclass(value) and hasattr(value, part):
            names.append(part)
            value = getattr(value, part)
    if first["type"] == "union_tag_invalid":
        names.append(first["ctx"]["discriminator"].strip("'"))
        value = first["ctx"]["tag"]
    return f"{'.'.join(names)} is {value!r}; it must be {_expected(first, value)}."


def from_json(
    kind: type[Settings],
    text: str | bytes,
    source: str,
    *,
    others: Literal["forbid", "ignore"] = "forbid",
    remedy: str = "correct the value or train again",
) -> Settings:
    """Rebuild settings, or read any other kind of value, from JSON.

    Args:
        kind: class of the settings, or another type that pydantic knows.
        text: what `to_json` returned.
        source: the file, for messages.
        others: whether keys that `kind` does not have are refused.
        remedy: what to do where it does not fit.

    Raises:
        UserError: names the first key that does not fit.
    """
    value = parse_json(text, source, remedy=remedy)
    try:
        found: Settings = _adapter(kind).validate_json(
            text.decode(_encoding(text)) if isinstance(text, bytes) else text, extra=others
        )
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        key = brief(".".join(_keys(first["loc"], value))) or "the file"
        raise UserError(
            f"{source}: {key} does not fit this version of serjax ({brief(first['msg'])}); {remedy}."
        ) from None
    return found


def read_as(
    kind: type[Settings],
    path: Path,
    remedy: str,
    *,
    largest: int = LARGEST,
    others: Literal["forbid", "ignore"] = "ignore",
) -> Settings:
    """Read a JSON file as what a type says of it.

    Args:
        kind: a dataclass, a TypedDict or another type that pydantic knows.
        path: of the file.
        remedy: what to do where it is damaged.
        largest: bytes above which it is not read.
        others: whether keys that `kind` does not have are refused.

    Raises:
        UserError: no such file; or names the first key that does not fit.
    """
    text = read_bytes(path, remedy=remedy, largest=largest)
    return from_json(kind, text, str(path), others=others, remedy=remedy)


def to_json(settings: Any) -> str:
    """Return settings as JSON from which `from_json` rebuilds them.

    Raises:
        UserError: a text is none in this locale: bytes of a command line that it does not know.
    """
    try:
        return _adapter(type(settings)).dump_json(settings, indent=2).decode()
    except pydantic_core.PydanticSerializationError:
        raise UserError(
            f"an option holds letters that are none in this locale ({sys.getfilesystemencoding()}); set "
            "LC_ALL=C.UTF-8, or use plain letters."
        ) from None


def _encoding(text: bytes) -> str:
    return "utf-8-sig" if text.startswith(b"\xef\xbb\xbf") else json.detect_encoding(text)


def _keys(loc: Iterable[str | int], value: Any) -> list[str]:
    """Return where in a value of JSON an error is; the tags of unions, which pydantic names too, are no keys there."""
    loc, keys = list(loc), []
    for part in loc:
        inside = (isinstance(value, dict) and part in value) or (isinstance(value, list) and isinstance(part, int))
        if inside or part == loc[-1]:
            keys.append(str(part))
        if inside:
            value = value[part]
    return keys


_ADAPTERS: dict[Any, pydantic.TypeAdapter[Any]] = {}


def _adapter(kind: Any) -> pydantic.TypeAdapter[Any]:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = pydantic.TypeAdapter(kind)
    return _ADAPTERS[kind]


def _rebuilt(settings: Settings) -> Settings:
    adapter = _adapter(type(settings))
    try:
        found: Settings = adapter.validate_python(adapter.dump_python(settings, warnings=False))
    except pydantic.ValidationError as error:
        raise UserError(describe(error, settings)) from None
    return found


def _check(settings: Any) -> None:
    for field in fields(settings):
        value = getattr(settings, field.name)
        if is_dataclass(value):
            _check(value)
    if hasattr(settings, "check"):
        settings.check()


def _number(bound: float) -> str:
    return f"{bound:g}" if isinstance(bound, float) else str(bound)


def _expected(error: Any, value: Any) -> str:
    """Return in words what a value must be, from its annotation's bounds where they are known."""
    context = error.get("ctx", {})
    match error["type"]:
        case "finite_number":
            return "finite"
        case "greater_than":
            return f"above {_number(context['gt'])}"
        case "greater_than_equal":
            return f"{_number(context['ge'])} or more"
        case "less_than":
            return f"below {_number(context['lt'])}"
        case "less_than_equal":
            return f"{_number(context['le'])} or less"
        case "union_tag_invalid":
            return f"one of {context['expected_tags']}"
        case "literal_error":
            return f"one of {context['expected']}"
        case "tuple_type" | "list_type":
            return "a list, such as [a, b]"
    return f"another value ({error['msg']})"
