"""Activations and dropout: what happens to each value alone."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from serjax.models.encoders.base import Activation


def gelu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return x * Phi(x), exactly (not its tanh form), computed in float32; the result has x's dtype.

    erf itself is faster than `jax.nn.gelu`'s erfc on a CPU.
    """
    full = x.astype(jnp.float32)
    return (0.5 * full * (1 + lax.erf(full * 0.5**0.5))).astype(x.dtype)


def gelu_tanh(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return GELU in its tanh form, which Hugging Face calls gelu_new."""
    return jax.nn.gelu(x, approximate=True)


ACTIVATIONS: dict[Activation, Callable[[Array], Array]] = {
    "gelu": gelu,
    "gelu_new": gelu_tanh,
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
}


def dropout(x: Float[Array, "..."], rate: float, key: PRNGKeyArray | None) -> Float[Array, "..."]:
    """Set values to zero with probability `rate` (to 16 bits) and scale up the others; without a key, return x."""
    if key is None or rate == 0:
        return x
    # Drawing takes longer than all else here, so a 32-bit number serves two values.
    *lead, last = x.shape
    pairs = lax.bitcast_convert_type(jax.random.bits(key, (*lead, -(-last // 2))), jnp.uint16)
    bound = round(rate * 2**16)
    kept = pairs.reshape(*lead, -1)[..., :last] >= bound
    return jnp.where(kept, x * (1 / (1 - bound / 2**16)), 0)


def split(key: PRNGKeyArray | None, count: int) -> list[PRNGKeyArray | None]:
    """Return `count` keys, or as many None where there is no key."""
    return [None] * count if key is None else list(jax.random.split(key, count))
