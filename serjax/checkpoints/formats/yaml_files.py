"""YAML that others have written: plain values alone, read without running anything that it names."""

import re
from pathlib import Path
from typing import Any

import yaml

from serjax.runtime.errors import UserError, brief
from serjax.runtime.json_files import read_bytes

_LARGEST = 1 << 20
"""Bytes of a file of settings."""


class _Loader(yaml.SafeLoader):
    """Plain values as OmegaConf reads them: 1e-5 is a number, though YAML 1.1 asks for a point in it."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        UserError: no such file, or it is no YAML of plain values, or no mapping.
    """
    try:
        found = yaml.load(read_bytes(path, largest=_LARGEST), _Loader)
    except (yaml.YAMLError, UnicodeError, ValueError, RecursionError) as error:
        place = getattr(error, "problem_mark", None)
        where = f" in line {place.line + 1}" if place is not None else ""
        said = brief(getattr(error, "problem", None) or error)
        raise UserError(f"{path}: it is no YAML of plain values{where} ({said}); fetch it again.") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: it holds {brief(found)}, not keys with values; fetch it again.")
    return found
