"""Products of matrices whose operands may be bfloat16; the sums are float32."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from serjax.runtime.platform import target_platform


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def product(spec: str, left: Float[Array, "..."], right: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return the einsum of two arrays of one dtype, summed in float32 and returned so.

    On a CPU with bfloat16 instructions that takes half the time of float32, and a product that is rounded to bfloat16
    takes as long as float32 (docs/results/speed.md). Elsewhere the product itself is rounded: less is written. The
    gradient is computed in the operands' dtype too.

    Args:
        spec: such as "nk,km->nm"; every index stands in two of the three places or in all.
        left: float32 or bfloat16.
        right: of the same dtype.
    """
    sums = jnp.float32 if target_platform() == "cpu" else left.dtype
    return jnp.einsum(spec, left, right, preferred_element_type=sums).astype(jnp.float32)


def _forward(spec: str, left: Array, right: Array) -> tuple[Array, tuple[Array, Array]]:
    return product(spec, left, right), (left, right)


def _backward(spec: str, kept: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    left, right = kept
    operands, out = spec.split("->")
    first, second = operands.split(",")
    gradient = gradient.astype(left.dtype)
    to_left = product(f"{out},{second}->{first}", gradient, right)
    to_right = product(f"{first},{out}->{second}", left, gradient)
    return to_left.astype(left.dtype), to_right.astype(right.dtype)


product.defvjp(_forward, _backward)


class Linear(nnx.Linear):
    """A Linear layer that rounds once, after its bias."""

    def __call__(self, inputs: Float[Array, "... i"], out_sharding: Any = None) -> Float[Array, "... o"]:
        """Return the inputs times the kernel, plus the bias where there is one, in the inputs' dtype."""
        y = product("ni,io->no", inputs.reshape(-1, inputs.shape[-1]), self.kernel[...])
        if self.bias is not None:
            y = y + self.bias[...]
        return y.astype(inputs.dtype).reshape(*inputs.shape[:-1], -1)
