"""Corpora that other libraries have written: sets of tfds and of Hugging Face, and databases of audformat."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import cast

from serjax.data.config import DataConfig
from serjax.data.corpora.records import Found, Records
from serjax.runtime import distributed
from serjax.runtime.errors import UserError

SETS = {"tfds": "tfds.read_tfds", "hf": "huggingface.read_huggingface", "audformat": "audformat.read_audformat"}
"""Values of `--data.corpus` that read a set, and their readers; no package is imported before it is used."""


def read_set(config: DataConfig, *, videos: bool, labelled: bool) -> Found:
    """Read the set that `config` names; the first of several processes writes what must be written.

    Raises:
        UserError: the set cannot be read, or videos are asked of it; see its reader.
    """
    if videos:
        raise UserError(f"--data.corpus {config.corpus}: of a set sound alone is read; choose a model without video.")
    if config.audio_root is not None:
        raise UserError(f"--data.corpus {config.corpus}: a set knows its files; leave out --data.audio-root.")
    module, function = SETS[config.corpus].split(".")
    read = cast(Callable[[Records], Found], getattr(import_module(f"serjax.data.corpora.{module}"), function))
    records = Records(
        config.root,
        Path(config.cache or "checkpoints"),
        split=config.split,
        columns=config.columns,
        labelled=labelled and config.label_pattern is None,
        skip_missing=config.skip_bad,
    )
    return distributed.first_then_rest("clips of a set", lambda: read(records))
