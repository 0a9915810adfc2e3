"""Attention over values."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from serjax.models.layers.activations import dropout
from serjax.models.layers.matmul import product
from serjax.runtime.platform import target_platform

BLOCK = 512
"""Frames along either side of a block of scores."""
LONG = 2048
"""Frames from which on scores are computed in blocks: 41 s of an encoder with 50 frames a second."""


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


def in_blocks(
    query: Float[Array, "b h n e"],
    keys: Float[Array, "b h n e"],
    values: Float[Array, "b h n e"],
    mask: Bool[Array, "b n"],
    gate: Float[Array, "b h n 1"] | None = None,
    distance: Float[Array, "h m"] | None = None,
    placeless: int = 0,
) -> Float[Array, "b h n e"]:
    """Return the mixtures of `mix` for scores of query times keys, of which memory holds a block of `BLOCK` squared.

    Softmax is exact: its maximum and sum run along the keys (Milakov & Gimelshein, 2018; Rabe & Staats, 2021).

    Args:
        query: Already scaled.
        keys: To compare with.
        values: To mix.
        mask: True where there is something to look at.
        gate: Factor of what each frame adds by distance; None: one.
        distance: Added to the score of frame j for frame i: the value at j - i + n - 1, of m = 2 n - 1; None: nothing.
        placeless: So many frames, the first ones, neither add nor get anything by distance.
    """
    count, size = query.shape[2], min(BLOCK, query.shape[2])
    blocks = -(-count // size)
    spare = blocks * size - count

    def split(x: Array) -> Array:
        """Return blocks [blocks b h size ...] of an array [b h n ...]."""
        x = jnp.pad(x, ((0, 0), (0, 0), (0, spare), (0, 0)))
        return jnp.moveaxis(x.reshape(*x.shape[:2], blocks, size, -1), 2, 0)

    seen = jnp.pad(mask, ((0, 0), (0, spare))).reshape(len(mask), blocks, size).swapaxes(0, 1)
    queries, others, mixed = split(query), split(keys), split(values)
    gates = None if gate is None else split(gate)
    table = None if distance is None else jnp.pad(distance, ((0, 0), (spare, spare)))
    place = jnp.arange(size)[None, :] - jnp.arange(size)[:, None] + size - 1

    def of_queries(block: Array) -> Array:
        own = queries[block]

        def with_keys(carry: tuple[Array, Array, Array], other: Array) -> tuple[tuple[Array, Array, Array], None]:
            highest, total, summed = carry
            scores = product("bhqe,bhke->bhqk", own, others[other])
            if table is not None:
                # Of the block's first row and first column on, in the table of distances.
                first = (other - block) * size + blocks * size - size
                near = jax.lax.dynamic_slice_in_dim(table, first, 2 * size - 1, axis=1)
                added = near[:, place]
                if placeless:
                    row, column = (jnp.arange(size) + at * size >= placeless for at in (block, other))
                    added = jnp.where(row[:, None] & column[None], added, 0)
                scores += added if gates is None else gates[block] * added
            scores = jnp.where(seen[other][:, None, None], scores, jnp.finfo(jnp.float32).min)
            new = jnp.maximum(highest, jnp.max(scores, axis=-1, keepdims=True))
            shares, kept = jnp.exp(scores - new), jnp.exp(highest - new)
            summed = kept * summed + product("bhqk,bhke->bhqe", shares.astype(values.dtype), mixed[other])
            return (new, kept * total + jnp.sum(shares, axis=-1, keepdims=True), summed), None

        shape = own.shape[:-1]
        start = jnp.full((*shape, 1), -jnp.inf), jnp.zeros((*shape, 1)), jnp.zeros(own.shape)
        (_, total, summed), _ = jax.lax.scan(with_keys, start, jnp.arange(blocks))
        return (summed / total).astype(values.dtype)

    found = jnp.moveaxis(jax.lax.map(of_queries, jnp.arange(blocks)), 0, 2)
    return found.reshape(*found.shape[:2], -1, found.shape[-1])[:, :, :count]


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
