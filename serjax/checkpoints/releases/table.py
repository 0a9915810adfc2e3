"""Table of the releases of classifiers that have a layout of their own: files, keys and head.

A release is one line here, and a file beside this one with two functions: `read(source, directory)` returns its
`Checkpoint`, and `answer(checkpoint, layer_sum)` the `Models` that answer for clips. Its network is a file in
`serjax/models/classifiers/`, with attributes that are called what its authors call them.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from serjax.checkpoints.hub import RECIPE
from serjax.runtime.json_files import read_json


class Release(NamedTuple):
    """A layout.

    Attributes:
        name: of the file beside this one.
        prefix: of the encoder's keys.
        is_here: told by config.json (empty where there is none) and the directory.
    """

    name: str
    prefix: str
    is_here: Callable[[Mapping[str, Any], Path], bool]


RELEASES = (
    Release("odyssey", "ssl_model.", lambda config, _: config.get("model_type") == "ser"),
    Release("speechbrain", "model.", lambda config, folder: "model_type" not in config and (folder / RECIPE).is_file()),
    Release("vox_profile", "backbone_model.", lambda config, _: {"pretrain_model", "finetune_method"} <= config.keys()),
)
"""Layouts that are looked for, before those of transformers."""


def find_release(directory: Path) -> Release | None:
    """Return the release whose layout a directory has; None: it is of no release of the table.

    Raises:
        UserError: its config.json is damaged.
    """
    path = directory / "config.json"
    config = read_json(path) if path.is_file() else {}
    return next((one for one in RELEASES if one.is_here(config, directory)), None)
