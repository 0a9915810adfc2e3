"""Values of the options of models, made from their fields."""

from dataclasses import fields
from typing import Literal, get_args, get_origin, get_type_hints

from serjax.models.adapter_config import AdapterConfig
from serjax.models.speech import Speech

FROM_THE_RUN = {"family", "checkpoint", "size", "layout"}
"""What a run resolves; the layout is that of the tests."""


def values(name, hint, default):
    """Return values of a field other than its default: all of a few, the ends of a range."""
    if get_origin(hint) is Literal:
        return [value for value in get_args(hint) if value != default]
    if hint is bool:
        return [not default]
    if name == "layer":
        return [0]  # the encoder of the tests has one block
    if hint is AdapterConfig:
        return [AdapterConfig(kind=kind) for kind in ("lora", "ia3", "bottleneck")]
    parts = [part for part in get_args(hint) if part is not type(None)]
    kinds = {int, float} & {hint, *parts, *(kind for part in parts for kind in get_args(part))}
    assert kinds, f"say here what values a {hint} has"
    return [1, 2] if int in kinds else [0.0, 0.3]


HINTS = get_type_hints(Speech, include_extras=True)
OPTIONS = [
    (field.name, value)
    for field in fields(Speech)
    if field.name not in FROM_THE_RUN
    for value in values(field.name, HINTS[field.name], field.default)
]
