"""Folds give the same numbers together, one after the other, sharded, and without their neighbours."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from serjax.training.fold_axis import choose_together

TOLERANCE = 2e-4
"""Two epochs of updates carry float32's rounding further than one product does."""


@pytest.fixture(scope="module")
def found():
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    # Seven layouts are compiled, and compared with each other.
    environment["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
    script = Path(__file__).with_name("eight_devices.py")
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def agree(one, other):
    np.testing.assert_allclose(one["losses"], other["losses"], atol=TOLERANCE)
    for a, b in zip(one["probabilities"], other["probabilities"], strict=True):
        np.testing.assert_allclose(a, b, atol=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize(
    "layout",
    ["together", "sequential on 1x8", "chosen mesh", "8x1, three folds of filling", "4x2", "5x1"],
)
def test_layouts_agree(found, layout):
    agree(found["sequential"], found[layout])


@pytest.mark.slow
def test_training_moved(found):
    losses = np.array(found["sequential"]["losses"])
    assert losses[:, 1].mean() < losses[:, 0].mean()
    assert len({round(loss, 6) for loss in losses[:, 0]}) == 5


@pytest.mark.slow
def test_a_fold_does_not_depend_on_its_neighbours(found):
    picked = {name: [values[1], values[4]] for name, values in found["together"].items()}
    agree(picked, found["folds 2 and 5 alone"])


@pytest.mark.slow
def test_accumulated_parts_are_the_whole_batch(found):
    agree(found["batch in 1"], found["batch in 2"])


@pytest.mark.parametrize(
    ("wish", "backend", "frozen", "together", "why"),
    [
        ("auto", "cpu", False, False, "on a CPU a trained encoder is faster so"),
        ("auto", "cpu", True, True, "only heads are trained"),
        ("auto", "gpu", False, True, "one gpu step keeps the device busier"),
        ("yes", "cpu", False, True, "as asked"),
        ("no", "gpu", True, False, "as asked"),
    ],
)
def test_folds_train_together_or_not_with_a_reason(wish, backend, frozen, together, why):
    chosen, reason = choose_together(wish, backend=backend, frozen_encoder=frozen)
    assert chosen is together
    assert why in reason
