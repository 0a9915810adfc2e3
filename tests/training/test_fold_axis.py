"""Folds give the same numbers together, one after the other, sharded, and without their neighbours."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from devices import environment

TOLERANCE = 2e-4
"""Two epochs of updates carry float32's rounding further than one product does."""


@pytest.fixture(scope="module")
def found():
    script = Path(__file__).with_name("eight_devices.py")
    done = subprocess.run([sys.executable, script], env=environment(8), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def agree(one, other, tolerance=TOLERANCE):
    np.testing.assert_allclose(one["losses"], other["losses"], atol=tolerance)
    for a, b in zip(one["probabilities"], other["probabilities"], strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize(
    "layout",
    ["together", "sequential on 1x8", "chosen mesh", "8x1, three folds of filling", "4x2"],
)
def test_layouts_agree(found, layout):
    agree(found["sequential"], found[layout])


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "like"), [("2x2x2", 4), ("1x1x8", 8), ("sequential on 1x2x4", 4)])
def test_split_parameters_give_the_numbers_of_whole_ones(found, layout, like):
    agree(found["together"], found[layout], 1e-5)
    agree(found["sequential"], found[layout], 1e-5)
    # Small arrays are whole on every device.
    share = found[layout]["bytes"] / found[layout]["whole"]
    assert 1 / like <= share < 1.5 / like
    assert found["together"]["bytes"] == found["together"]["whole"]


@pytest.mark.slow
def test_a_saved_state_goes_on_over_fewer_devices(found):
    whole = found["together"]
    second = {"losses": [[loss] for _, loss in whole["losses"][:2]], "probabilities": whole["probabilities"][:2]}
    agree(second, found["from 4 to 1"], 1e-5)


@pytest.mark.slow
def test_training_moved(found):
    losses = np.array(found["sequential"]["losses"])
    assert losses[:, 1].mean() < losses[:, 0].mean()
    assert len({round(loss, 6) for loss in losses[:, 0]}) == 5


@pytest.mark.slow
def test_a_fold_does_not_depend_on_its_neighbours(found):
    picked = {name: [found["together"][name][k] for k in (1, 4)] for name in ("losses", "probabilities")}
    agree(picked, found["folds 2 and 5 alone"])


@pytest.mark.slow
def test_accumulated_parts_are_the_whole_batch(found):
    agree(found["batch in 1"], found["batch in 2"])


DONE = """
import jax, jax.numpy as jnp, numpy as np
from serjax.training.fold_axis import BATCH, FOLD, fold_axis


def step(state, batch):
    product = batch @ batch.T
    return state + jnp.sin(product @ product).sum(0), product[0]


axis = fold_axis(4, 2048, together=False, devices=jax.devices()[:1])
state, batch = axis.shard(jnp.ones((4, 2048))), axis.feed(np.ones((4, 2048, 2), np.float32))
compiled, everyone = axis.jit_step(step, (FOLD, BATCH)), np.ones(4, bool)
state, _ = jax.block_until_ready(compiled(everyone, state, batch))
print([one.is_ready() for one in compiled(everyone, state, batch)[0]])
"""


def test_a_folds_step_is_done_before_the_next_one_takes_memory():
    cpu = os.environ | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", DONE], env=cpu, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[True,", "True,", "True,", "True]"]
