"""Every option of a speech model: its run is written and loaded again, as after a training."""

from dataclasses import fields, replace
from typing import Literal, get_args, get_origin, get_type_hints

import jax
import numpy as np
import pytest
import saved_runs
from flax import nnx
from saved_runs import ENCODER, SPEECH, write_run

from serjax.checkpoints.run_models import load_run
from serjax.models.adapter_config import AdapterConfig
from serjax.models.speech import Speech

FROM_THE_RUN = {"family", "checkpoint", "size", "layout"}
"""What a run resolves; the layout is that of the tests."""


def values(hint, default):
    """Return values of a field other than its default: all of a few, the ends of a range."""
    if get_origin(hint) is Literal:
        return [value for value in get_args(hint) if value != default]
    if hint is bool:
        return [not default]
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
    for value in values(HINTS[field.name], field.default)
]


@pytest.mark.parametrize(("name", "value"), OPTIONS, ids=lambda value: getattr(value, "kind", None) or str(value))
def test_a_run_with_any_option_is_saved_and_loaded(tmp_path, name, value):
    check(tmp_path, replace(SPEECH, **{name: value}, **({"freeze": "layers"} if name == "frozen_layers" else {})))


@pytest.mark.parametrize("change", [{"apply_spec_augment": False}, {"mask_time_prob": 0.0, "mask_feature_prob": 0.0}])
@pytest.mark.parametrize("freeze", ["nothing", "encoder"])
def test_a_run_without_spec_augment_is_saved_and_loaded(tmp_path, monkeypatch, change, freeze):
    monkeypatch.setattr(saved_runs, "ENCODER", replace(ENCODER, **change))
    check(tmp_path, replace(SPEECH, freeze=freeze))


def check(folder, model):
    """Write a run of a model, load it, and compare its parameters."""
    model = replace(model, frozen_layers=min(model.frozen_layers, 1))
    members, model = write_run(folder, model, folds=(1,))
    found = load_run(folder)
    assert found.dtype == model.dtype
    own = dict(nnx.to_flat_state(nnx.merge_state(jax.tree.map(lambda leaf: leaf[0], found.params), found.shared)))
    expected = dict(nnx.to_flat_state(nnx.state(members[1], (nnx.Param, nnx.BatchStat))))
    assert own.keys() == expected.keys()
    for path, leaf in expected.items():
        if path[-1] != "masked_spec_embed":  # not written where frames are never masked
            np.testing.assert_array_equal(own[path][...], leaf[...], err_msg=str(path))
