"""First parameters: drawn for each trial, shared where frozen, and a checkpoint's where it has them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from serjax.models.functional import flat
from serjax.training.config import OptimizerConfig
from serjax.training.fold_axis import fold_axis
from serjax.training.initialize import first_states, initial, make_evaluated
from serjax.training.optimizer import make_optimizer


class Net(nnx.Module):
    def __init__(self, rngs):
        self.encoder = nnx.Linear(2, 3, rngs=rngs)
        self.head = nnx.Linear(3, 2, rngs=rngs)


KEYS = jax.random.split(jax.random.key(0), 3)
GIVEN = {"encoder.kernel": jnp.full((2, 3), 7.0), "head.bias": jnp.full(2, 5.0)}


def start(keys=KEYS, given=GIVEN, together=True):
    axis = fold_axis(len(keys), 1, together=together, devices=jax.devices()[:1])
    graphdef, params, frozen = initial(Net, lambda path: path[0] == "encoder", keys, jax.random.key(9), axis, given)
    return axis, graphdef, axis.gather(params), frozen


def test_trained_parameters_are_each_trials_own_and_frozen_ones_shared():
    _, graphdef, params, frozen = start(given={})
    kernels = flat(params)["head.kernel"]
    assert kernels.shape == (3, 3, 2)
    assert len({kernels[k].tobytes() for k in range(3)}) == 3
    assert flat(frozen)["encoder.kernel"].shape == (2, 3)
    one = jax.tree.map(lambda leaf: leaf[0], params)
    assert nnx.merge(graphdef, one, frozen).head(jnp.ones((1, 3))).shape == (1, 2)


def test_parameters_of_a_checkpoint_replace_what_is_drawn():
    _, _, params, frozen = start()
    np.testing.assert_array_equal(flat(frozen)["encoder.kernel"], GIVEN["encoder.kernel"])
    np.testing.assert_array_equal(flat(params)["head.bias"], np.full((3, 2), 5.0))


@pytest.mark.parametrize("together", [True, False])
def test_a_trial_does_not_depend_on_its_neighbours(together):
    _, _, whole, _ = start(together=together)
    _, _, alone, _ = start(KEYS[1:2], together=together)
    np.testing.assert_array_equal(flat(whole)["head.kernel"][1], flat(alone)["head.kernel"][0])


@pytest.mark.parametrize("kind", ["adamw", "schedule_free_adamw"])
def test_parameters_before_the_first_update_are_those_that_are_evaluated(kind):
    axis, _, params, _ = start()
    optimizer = make_optimizer(OptimizerConfig(kind=kind, schedule="constant"), jax.tree.map(lambda x: x[0], params))
    state = first_states(axis.shard(params), optimizer, axis)
    found = axis.gather(make_evaluated(axis)(state))
    for name, leaf in flat(params).items():
        np.testing.assert_allclose(flat(found)[name], leaf, atol=1e-6)
