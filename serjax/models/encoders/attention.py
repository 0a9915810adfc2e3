"""Self-attention of all families, and WavLM's with gated relative positions, named as in transformers."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from serjax.models.encoders.base import BaseEncoderConfig
from serjax.models.encoders.wav2vec2_config import Wav2Vec2Config
from serjax.models.layers.attention import LONG, cudnn_serves, fused, in_blocks, mix
from serjax.models.layers.matmul import Linear, product


def linear(inputs: int, outputs: int, rngs: nnx.Rngs, *, bias: bool = True) -> Linear:
    """Return a Linear layer initialised as transformers does: normal with deviation 0.02, biases of 0."""
    return Linear(inputs, outputs, use_bias=bias, kernel_init=nnx.initializers.normal(0.02), rngs=rngs)


def in_parts(count: Any, key: PRNGKeyArray | None) -> bool:
    """Return whether scores of so many frames are computed in blocks: of long clips, outside of training."""
    return key is None and isinstance(count, int) and count > LONG


class Attention(nnx.Module):
    """Multi-head self-attention."""

    def __init__(self, config: BaseEncoderConfig, *, key_bias: bool = True, rngs: nnx.Rngs):
        size = config.hidden_size
        self.heads = config.num_attention_heads
        self.rate = config.attention_dropout
        self.k_proj = linear(size, size, rngs, bias=key_bias)
        self.v_proj = linear(size, size, rngs)
        self.q_proj = linear(size, size, rngs)
        self.out_proj = linear(size, size, rngs)

    def __call__(
        self,
        x: Float[Array, "b n d"],
        mask: Bool[Array, "b n"],
        key: PRNGKeyArray | None,
        position: Float[Array, "h n n"] | Float[Array, "h m"] | None = None,
        *,
        shares: bool = True,
    ) -> tuple[Float[Array, "b n d"], Float[Array, "b h n n"] | None]:
        """Return each frame's mixture of the frames where mask is True, and the shares (dropped out) that made it.

        Args:
            x: Hidden states.
            mask: True where a frame is a frame of the clip.
            key: Random key for dropout of the shares; None for no dropout.
            position: What WavLM's `relative_position` returns, or its `distances` where scores are not held as a whole.
            shares: Return them; None without.
        """
        query, keys, values = (self._per_head(layer(x)) for layer in (self.q_proj, self.k_proj, self.v_proj))
        query = query * query.shape[-1] ** -0.5
        if not shares and in_parts(x.shape[1], key):
            mixed = in_blocks(query, keys, values, mask, None if position is None else self._gate(x), position)
            return self.out_proj(mixed.swapaxes(1, 2).reshape(x.shape)), None
        scores = product("bhqe,bhke->bhqk", query, keys)
        if position is not None:
            scores = scores + self._gate(x) * position
        mixed, found = mix(scores, values, mask, self.rate, key)
        # WavLM's positions would be rounded to 16 bits there.
        if position is None and cudnn_serves(values, self.rate, key):
            # The compiler then leaves scores and shares out, unless somebody asks for shares.
            mixed = fused(query, keys, values, mask)
        return self.out_proj(mixed.swapaxes(1, 2).reshape(x.shape)), found if shares else None

    def _per_head(self, x: Float[Array, "b n d"]) -> Float[Array, "b h n e"]:
        return x.reshape(*x.shape[:2], self.heads, -1).swapaxes(1, 2)

    def _gate(self, x: Float[Array, "b n d"]) -> Float[Array, "b h n 1"]:
        raise TypeError("plain attention knows no relative positions")


class GatedAttention(Attention):
    """Attention whose scores know how far apart two frames are, as far as the frame that looks lets them.

    score(i, j) = q_i k_j / sqrt(e) + gate_i bias[bucket(j - i)], by WavLM (Chen et al., 2022, equations 3 to 6). The
    first layer of an encoder holds the bias for all.
    """

    def __init__(self, config: Wav2Vec2Config, *, first: bool, rngs: nnx.Rngs):
        super().__init__(config, rngs=rngs)
        self.buckets, self.furthest = config.num_buckets, config.max_bucket_distance
        self.gru_rel_pos_const = nnx.Param(jnp.ones((1, self.heads, 1, 1)))
        self.gru_rel_pos_linear = linear(config.hidden_size // self.heads, 8, rngs)
        self.rel_attn_embed = nnx.Embed(self.buckets, self.heads, rngs=rngs) if first else None

    def relative_position(self, count: int) -> Float[Array, "h n n"]:
        """Return what each head adds for frame j as frame i sees it, in float32."""
        assert self.rel_attn_embed is not None
        if not isinstance(count, int):
            return self._of_any_count(count)
        # Distances 0 .. count - 1, one that never occurs, then 1 - count .. -1: read as a circle, row i begins i steps
        # back. A repeated circle cut into rows one shorter does that without a gather, whose gradient is slow.
        circle = np.concatenate([np.arange(count), [0], np.arange(1 - count, 0)])
        bias = self.rel_attn_embed.embedding[...][bucket(circle, self.buckets, self.furthest)].T.astype(jnp.float32)
        rows = jnp.tile(bias, count)[:, : count * (2 * count - 1)]
        return rows.reshape(self.heads, count, 2 * count - 1)[:, :, :count]

    def distances(self, count: int) -> Float[Array, "h m"]:
        """Return what each head adds by distance, from 1 - count to count - 1, in float32."""
        assert self.rel_attn_embed is not None
        places = bucket(np.arange(1 - count, count), self.buckets, self.furthest)
        return self.rel_attn_embed.embedding[...][places].T.astype(jnp.float32)

    def _of_any_count(self, count: Any) -> Float[Array, "h n n"]:
        """Return `relative_position` where the number of frames is symbolic (`jax.export`): picked from a table."""
        assert self.rel_attn_embed is not None
        # All that are further apart than the furthest fall into its bucket.
        distance = np.arange(-self.furthest, self.furthest + 1)
        bias = self.rel_attn_embed.embedding[...][bucket(distance, self.buckets, self.furthest)].T.astype(jnp.float32)
        frame = jnp.arange(count)
        apart = jnp.clip(frame[None, :] - frame[:, None], -self.furthest, self.furthest)
        return jnp.take(bias, apart + self.furthest, axis=1, mode="clip")

    def _gate(self, x: Float[Array, "b n d"]) -> Float[Array, "b h n 1"]:
        """Return gate_i in float32, 1 to 3 for a constant of 1."""
        layer = self.gru_rel_pos_linear
        assert layer.bias is not None
        if type(layer) is not Linear:
            # An adapted layer, which is more than its weights.
            summed = layer(self._per_head(x))
            return self._of_sums(summed.reshape(*summed.shape[:-1], 2, 4).sum(-1))
        # The layer's eight outputs are added up by fours; its weights are, which is the same and less.
        weight = layer.kernel[...].reshape(-1, 2, 4).sum(-1)
        bias = layer.bias[...].reshape(2, 4).sum(-1)
        return self._of_sums(self._per_head(x) @ weight + bias)

    def _of_sums(self, sums: Float[Array, "b h n 2"]) -> Float[Array, "b h n 1"]:
        gates = jax.nn.sigmoid(sums.astype(jnp.float32))
        return gates[..., :1] * (gates[..., 1:] * self.gru_rel_pos_const[...].astype(jnp.float32) - 1) + 2


def bucket(distance: Int[np.ndarray, "n"], buckets: int, furthest: int) -> Int[np.ndarray, "n"]:
    """Return the bucket of each distance j - i: one a frame up to a quarter of the buckets, then ever wider ones.

    Half of the buckets are for each direction (T5, Raffel et al. 2020; transformers' `_relative_positions_bucket`).

    Args:
        distance: In frames; positive is later.
        buckets: How many there are.
        furthest: From this distance on all fall into the last one.
    """
    half, exact = buckets // 2, buckets // 4
    size = np.abs(distance)
    # In float32 as in PyTorch, or some distances fall beside their bucket.
    steps = np.log(np.maximum(size, 1).astype(np.float32) / np.float32(exact)) / np.float32(math.log(furthest / exact))
    far = np.minimum(exact + (steps * np.float32(half - exact)).astype(int), half - 1)
    return np.where(distance > 0, half, 0) + np.where(size < exact, size, far)
