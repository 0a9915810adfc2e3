"""Jitted functions whose shardings follow their arguments."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from serjax.training.split_program import SplitProgram

AT = NamedSharding(Mesh(np.array(jax.devices()[:1]), ("shard",)), PartitionSpec())


def test_shardings_are_asked_for_once_a_shape():
    asked = []

    def inputs(arguments):
        asked.append(arguments[0].shape)
        return (AT,)

    double = SplitProgram(lambda x: 2 * x, inputs, lambda arguments: AT, {})
    for size in (3, 3, 4):
        np.testing.assert_array_equal(double(jnp.ones(size)), np.full(size, 2.0))
    assert asked == [(3,), (4,)]


def test_shapes_are_enough_to_lower_it():
    program = SplitProgram(lambda x: x + 1, lambda _: (AT,), lambda _: AT, {})
    compiled = program.lower(jax.ShapeDtypeStruct((2,), jnp.float32)).compile()
    np.testing.assert_array_equal(compiled(jax.device_put(jnp.zeros(2), AT)), np.ones(2))
