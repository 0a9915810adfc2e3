"""YAML files as plain values: what their tags ask to be made is not made."""

import re
from pathlib import Path
from typing import Any

import yaml

from serjax.runtime.errors import UserError, brief
from serjax.runtime.json_files import read_bytes

_LARGEST = 1 << 20
"""Bytes of a file; a recipe has a few thousand."""


class _Plain(yaml.SafeLoader):
    """Reads what a tag stands before as if the tag were not there."""


def _untagged(loader: _Plain, _suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)


_Plain.add_multi_constructor("!", _untagged)
_Plain.add_multi_constructor("tag:yaml.org,2002:python/", _untagged)


# As OmegaConf reads them: 1e-5 is a number, though YAML 1.1 asks for a point in it.
_Plain.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a file that holds a mapping; tags such as `!new:module.Class` and `!ref` are left out.

    Raises:
        UserError: no such file, or it holds something else.
    """
    text = read_bytes(path, largest=_LARGEST)
    try:
        found = yaml.load(text, _Plain)
    except Exception as error:  # a damaged or hostile file can raise anything
        reason = f"{type(error).__name__}: {error}" if isinstance(error, yaml.YAMLError) else error
        raise UserError(f"{path}: it is no YAML file ({brief(reason)}); fetch it again.") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: it holds a {type(found).__name__}, no mapping; fetch it again.")
    return found
