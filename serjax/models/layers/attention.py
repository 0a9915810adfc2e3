"""Attention over values."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from serjax.models.layers.activations import dropout
from serjax.models.layers.matmul import product
from serjax.runtime.platform import target_platform


def mix(
    scores: Float[Array, "b h q k"],
    values: Float[Array, "b h k e"],
    mask: Bool[Array, "b k"],
    rate: float,
    key: PRNGKeyArray | None,
) -> tuple[Float[Array, "b h q e"], Float[Array, "b h q k"]]:
    """Return mixtures of the values where mask is True, by softmax of the scores, and the shares (dropped out) in them.

    A row whose mask has no True mixes all values evenly.

    Args:
        scores: In float32.
        values: Of the dtype that the mixtures are to have.
        mask: True where there is something to look at.
        rate: Of the dropout of shares.
        key: Random key for it; None for no dropout.
    """
    # A finite stand-in for minus infinity: a row without any true frame must not become NaN.
    scores = jnp.where(mask[:, None, None], scores, jnp.finfo(jnp.float32).min)
    shares = jnp.exp(scores - jax.lax.stop_gradient(jnp.max(scores, axis=-1, keepdims=True)))
    total = jnp.sum(shares, axis=-1, keepdims=True)
    kept = dropout(shares, rate, key)
    # Softmax divides what comes out, which is less than what goes in.
    mixed = product("bhqk,bhke->bhqe", kept.astype(values.dtype), values) / total
    return mixed.astype(values.dtype), kept / total


def has_cudnn(device: Any) -> bool:
    """Return whether cuDNN's attention runs on a device: a GPU of NVIDIA's, of Ampere's generation (8.0) or later."""
    version = str(getattr(getattr(device, "client", None), "platform_version", "")).lower()
    capability = float(getattr(device, "compute_capability", None) or 0)
    return device.platform == "gpu" and "cuda" in version and capability >= 8.0


def cudnn_serves(values: Float[Array, "b h k e"], rate: float, key: PRNGKeyArray | None) -> bool:
    """Return whether `fused` can compute what `mix` does by cuDNN, on the device at hand and that is compiled for.

    It takes 16 bits and heads of up to 128 features, a multiple of 8, and drops nothing out.

    Args:
        values: Of each head.
        rate: Of the dropout of shares.
        key: Random key for it; None for no dropout.
    """
    if target_platform() != "gpu" or jax.default_backend() != "gpu" or (key is not None and rate > 0):
        return False
    width = values.shape[-1]
    return values.dtype.itemsize == 2 and width % 8 == 0 and width <= 128 and has_cudnn(jax.devices()[0])


def fused(
    query: Float[Array, "b h q e"],
    keys: Float[Array, "b h k e"],
    values: Float[Array, "b h k e"],
    mask: Bool[Array, "b k"],
    implementation: Literal["cudnn", "xla"] = "cudnn",
) -> Float[Array, "b h q e"]:
    """Return the mixtures of `mix` for scores of query times keys, without ever holding the shares.

    A row whose mask has no True gets its first value, and not the mean of all: either means nothing.

    Args:
        query: Already scaled.
        keys: To compare with.
        values: To mix.
        mask: True up to a row's length, and False beyond.
        implementation: Of `jax.nn.dot_product_attention`.
    """
    lengths = jnp.maximum(jnp.sum(mask, axis=1, dtype=jnp.int32), 1)
    mixed = jax.nn.dot_product_attention(
        *(x.swapaxes(1, 2) for x in (query, keys, values)),
        scale=1.0,
        query_seq_lengths=jnp.full_like(lengths, query.shape[2]),
        key_value_seq_lengths=lengths,
        implementation=implementation,
    )
    return mixed.swapaxes(1, 2)
