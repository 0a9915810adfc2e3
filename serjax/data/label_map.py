"""Label maps: what a corpus's labels are called in an experiment."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from serjax.data.utterance import Utterance
from serjax.errors import UserError, one_of


def map_labels(clips: Sequence[Utterance], order: Sequence[str], path: str) -> tuple[list[Utterance], tuple[str, ...]]:
    """Replace every label by what the map at `path` says; the order of the classes goes with them.

    Raises:
        UserError: the map cannot be read, or lacks a label.
    """
    mapping = read_label_map(path)
    unknown = sorted({clip.label for clip in clips} - set(mapping))
    if unknown:
        raise UserError(f"{path}: the label map says nothing of {one_of(unknown)}; add what they are to be called.")
    mapped = [replace(clip, label=mapping[clip.label]) for clip in clips]
    return mapped, tuple(dict.fromkeys(mapping[label] for label in order if label in mapping))


def read_label_map(path: str) -> dict[str, str]:
    """Read a label map, a JSON object from a corpus's label to the experiment's.

    Raises:
        UserError: the file is missing or is not such an object.
    """
    try:
        mapping = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: the label map cannot be read ({error}); give a JSON object of strings.") from None
    if not isinstance(mapping, dict) or not all(value and isinstance(value, str) for value in mapping.values()):
        raise UserError(
            f'{path}: a label map is a JSON object of strings, none empty, such as {{"exc": "happy"}}; rewrite it so.'
        )
    return mapping
