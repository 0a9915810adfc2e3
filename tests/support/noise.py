"""Modules of small random weights without any program that XLA would compile."""

import jax.numpy as jnp
import numpy as np
from flax import nnx

from serjax.models.functional import abstract


def noisy(make, seed=0):
    """Return the module that `make` builds from nnx.Rngs, with normal weights and positive statistics."""
    module, noise = abstract(make), np.random.default_rng(seed)
    for _, leaf in nnx.to_flat_state(nnx.state(module, (nnx.Param, nnx.BatchStat))):
        values = noise.normal(0, 0.3, leaf.shape)
        leaf.set_value(jnp.asarray(1 + np.abs(values) if isinstance(leaf, nnx.BatchStat) else values, jnp.float32))
    return module
