"""Every option of a speech model: its run is written and loaded again, as after a training."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from flax import nnx
from option_values import OPTIONS
from saved_runs import LAYOUT, SPEECH, layout_with, write_run

from serjax.checkpoints.run_models import load_run


@pytest.mark.parametrize(("name", "value"), OPTIONS, ids=lambda value: getattr(value, "kind", None) or str(value))
def test_a_run_with_any_option_is_saved_and_loaded(tmp_path, name, value):
    check(tmp_path, replace(SPEECH, **{name: value}, **({"freeze": "layers"} if name == "frozen_layers" else {})))


@pytest.mark.parametrize("change", [{"apply_spec_augment": False}, {"mask_time_prob": 0.0, "mask_feature_prob": 0.0}])
@pytest.mark.parametrize("freeze", ["nothing", "encoder"])
def test_a_run_without_spec_augment_is_saved_and_loaded(tmp_path, change, freeze):
    check(tmp_path, replace(SPEECH, freeze=freeze), layout_with(**change))


def check(folder, model, layout=LAYOUT):
    """Write a run of a model, load it, and compare its parameters."""
    model = replace(model, frozen_layers=min(model.frozen_layers, 1))
    members, model = write_run(folder, model, folds=(1,), layout=layout)
    found = load_run(folder)
    assert found.dtype == model.dtype
    own = dict(nnx.to_flat_state(nnx.merge_state(jax.tree.map(lambda leaf: leaf[0], found.params), found.shared)))
    expected = dict(nnx.to_flat_state(nnx.state(members[1], (nnx.Param, nnx.BatchStat))))
    assert own.keys() == expected.keys()
    for path, leaf in expected.items():
        if path[-1] != "masked_spec_embed":  # not written where frames are never masked
            np.testing.assert_array_equal(own[path][...], leaf[...], err_msg=str(path))
