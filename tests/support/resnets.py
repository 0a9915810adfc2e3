"""A ResNet-18 whose weights and running statistics hide no mistake."""

import jax.numpy as jnp
import numpy as np
from flax import nnx

from serjax.models.networks.resnet import ResNet18


def random_network(seed=0):
    network = ResNet18(rngs=nnx.Rngs(seed))
    noise = np.random.default_rng(seed)
    for path, leaf in nnx.to_flat_state(nnx.state(network)):
        if path[-1] != "kernel":
            centre = float(path[-1] in ("scale", "var"))
            leaf.set_value(jnp.asarray(centre + 0.3 * np.tanh(noise.normal(size=leaf.shape)), jnp.float32))
    return network
