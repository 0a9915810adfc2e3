"""JSON that was not written a moment ago by this process: read with limits, whoever wrote it.

A file is refused that is no regular file, is larger than its kind ever is, is nested deeper than any object of ours,
holds an integer of more than 64 bits, NaN, infinity or half a character, or has a key twice. What is returned can be
walked, compared, shown and written by code that knows nothing of such things.
"""

import contextlib
import json
import math
import os
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from serjax.runtime.errors import UserError, brief, reason

LARGEST = 64 << 20
"""Bytes of a file of settings or of a report; parsed, it may need twenty times that."""
LARGEST_LIST = 512 << 20
"""Bytes of a file that has a line for each clip."""
DEEPEST = 64
"""Objects and arrays within each other; those of serjax and of published checkpoints are at most 10."""
_WIDEST = 2**63


def read_json(path: Path, *, remedy: str = "fetch it again", largest: int = LARGEST) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: of the file, in UTF-8, or in UTF-16 or UTF-32 as JSON itself tells them apart.
        remedy: what to do where it is damaged.
        largest: bytes above which it is not read.

    Raises:
        UserError: no such file, or it holds something else.
    """
    value = parse_json(read_bytes(path, remedy=remedy, largest=largest), str(path), remedy=remedy)
    if not isinstance(value, dict):
        raise UserError(f"{path}: it holds {_kind(value)}, not a JSON object; {remedy}.")
    return value


@contextlib.contextmanager
def contents_of(path: Path | str, remedy: str) -> Iterator[None]:
    """Hold a file responsible for what is raised while its contents are used: it was read, but does not hold together.

    Args:
        path: of the file.
        remedy: what to do about it.

    Raises:
        UserError: in place of any other exception.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{path}: it does not hold what it should ({brief(error)}); {remedy}.") from None


def read_bytes(path: Path, *, remedy: str = "fetch it again", largest: int = LARGEST) -> bytes:
    """Return the contents of a regular file: a pipe or a device could be read for ever.

    Raises:
        UserError: no such file, it cannot be read, or is too large.
    """
    try:
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise UserError(f"{path}: it is no regular file; {remedy}.")
            if found.st_size > largest:
                raise UserError(
                    f"{path}: it has {found.st_size:,} bytes, more than the {largest:,} that such a file may have; "
                    f"{remedy}."
                )
            return file.read()
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file; give a directory that has it.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: it cannot be read ({reason(error)}); {remedy}.") from None


def parse_json(text: bytes | str, source: str, *, remedy: str = "fetch it again") -> Any:
    """Return the value of a JSON text.

    Args:
        text: bytes may begin with a byte order mark.
        source: the file, for messages.
        remedy: what to do where it is damaged.

    Raises:
        UserError: it is no JSON, or is beyond the limits.
    """
    try:
        value = json.loads(text, object_pairs_hook=_once)
    except RecursionError:
        raise UserError(f"{source}: it is nested more than {DEEPEST} levels deep; {remedy}.") from None
    except ValueError as error:
        raise UserError(f"{source}: it cannot be read as JSON ({reason(error)}); {remedy}.") from None
    if problem := _beyond(value):
        raise UserError(f"{source}: {problem}; {remedy}.")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        raise ValueError(f"the key {twice} is there twice")
    return found


def _beyond(value: Any) -> str | None:
    """Return what of a parsed value is beyond the limits, and where; None where all is within."""
    waiting: list[tuple[Any, tuple[str, ...]]] = [(value, ())]
    while waiting:
        value, place = waiting.pop()
        if isinstance(value, str):
            if not value.isascii() and _halves(value):
                return f"{_named(place)} holds half a character (a lone surrogate)"
        elif isinstance(value, float):
            if not math.isfinite(value):
                return f"{_named(place)} is {value}, which is no number of JSON"
        elif isinstance(value, int):
            if not -_WIDEST <= value < _WIDEST:
                return f"{_named(place)} is an integer of more than 64 bits"
        elif isinstance(value, (dict, list)):
            if len(place) == DEEPEST:
                return f"it is nested more than {DEEPEST} levels deep"
            if isinstance(value, dict):
                waiting += [(key, place) for key in value if not key.isascii()]
                waiting += [(one, (*place, key)) for key, one in value.items()]
            else:
                waiting += [(one, (*place, str(number))) for number, one in enumerate(value)]
    return None


def _halves(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _named(place: tuple[str, ...]) -> str:
    return brief(".".join(place)) if place else "it"


def _kind(value: Any) -> str:
    return {list: "an array", str: "a text", type(None): "null", bool: "true or false"}.get(type(value), "a number")
