"""Attention of conformer layers, named as in transformers: positions are rotary, relative, relative keys or none."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Float32, Int, PRNGKeyArray

from serjax.models.encoders.attention import in_parts, linear
from serjax.models.encoders.wav2vec2_bert_config import Wav2Vec2BertConfig
from serjax.models.encoders.wav2vec2_conformer_config import Wav2Vec2ConformerConfig
from serjax.models.layers.attention import BLOCK, cudnn_serves, fused, in_blocks, mix
from serjax.models.layers.matmul import product

Config = Wav2Vec2BertConfig | Wav2Vec2ConformerConfig
Positions = Float32[Array, "..."] | None
"""Positions as a layer takes them: cosines and sines [2 n e], or sinusoids of distances n - 1 to 1 - n [2n-1 d]."""


def rates(config: Config) -> Float32[np.ndarray, "e"]:
    """Return the radians that a rotary position turns each pair of a head's features by, from frame to frame."""
    width = config.hidden_size // config.num_attention_heads
    exponent = np.arange(0, width, 2, dtype=np.float32) / np.float32(width)
    return np.float32(1) / np.float32(config.rotary_embedding_base) ** exponent


def rotation(turns: Float32[Array, "e"], count: int) -> Float32[Array, "2 n f"]:
    """Return cosines and sines of n frames, for the features of a head (f = 2 e): feature i is paired with i + e."""
    angle = jnp.arange(count, dtype=jnp.float32)[:, None] * turns
    angle = jnp.concatenate([angle, angle], axis=1)
    return jnp.stack([jnp.cos(angle), jnp.sin(angle)])


def sinusoids(count: int, width: int) -> Float32[Array, "m d"]:
    """Return sines and cosines in turn of the distances n - 1, n - 2, ... 1 - n that a frame is behind another one."""
    distance = jnp.arange(count - 1, -count, -1, dtype=jnp.float32)
    turns = np.exp(np.arange(0, width, 2, dtype=np.float32) * np.float32(-np.log(10_000) / width))
    angle = distance[:, None] * turns
    return jnp.stack([jnp.sin(angle), jnp.cos(angle)], axis=2).reshape(-1, width)


def skewed(x: Float[Array, "... q m"]) -> Float[Array, "... q k"]:
    """Return y[i, j] = x[i, q - 1 - i + j], with k = m - q + 1: row i begins q - 1 - i steps further on.

    Rows one longer, read as rows one shorter, do that without a gather, whose gradient is slow.
    """
    *lead, rows, columns = x.shape
    x = jnp.pad(x, (*((0, 0) for _ in lead), (0, 0), (1, 0)))
    x = x.reshape(*lead, rows * (columns + 1))[..., rows:]
    return x.reshape(*lead, rows, columns)[..., : columns - rows + 1]


class Attention(nnx.Module):
    """Multi-head self-attention that knows how far apart two frames are, by `position_embeddings_type`.

    rotary: hidden states are turned before they are projected to queries and keys (Su et al., 2021, turn them behind).
    relative: score(i, j) = ((q_i + u) k_j + (q_i + v) W r(i - j)) / sqrt(e), with sinusoids r (Dai et al., 2019).
    relative_key: score(i, j) = (q_i k_j + q_i w(j - i)) / sqrt(e), with w learned and distances cut off on either side
    (Shaw et al., 2018).
    """

    def __init__(self, config: Config, *, rngs: nnx.Rngs):
        size, self.heads = config.hidden_size, config.num_attention_heads
        self.rate, self.kind = config.attention_dropout, config.position_embeddings_type
        self.linear_q, self.linear_k, self.linear_v, self.linear_out = (linear(size, size, rngs) for _ in range(4))
        width = size // self.heads
        if self.kind == "relative":
            self.linear_pos = linear(size, size, rngs, bias=False)
            start = nnx.initializers.xavier_uniform()
            self.pos_bias_u = nnx.Param(start(rngs.params(), (self.heads, width)))
            self.pos_bias_v = nnx.Param(start(rngs.params(), (self.heads, width)))
        if self.kind == "relative_key":
            assert isinstance(config, Wav2Vec2BertConfig)
            self.before, self.after = config.left_max_position_embeddings, config.right_max_position_embeddings
            start = nnx.initializers.normal(0.02)
            self.distance_embedding = nnx.Embed(self.before + self.after + 1, width, embedding_init=start, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "b n d"],
        mask: Bool[Array, "b n"],
        key: PRNGKeyArray | None,
        positions: Positions,
        *,
        shares: bool,
    ) -> tuple[Float[Array, "b n d"], Float[Array, "b h n n"] | None]:
        """Return each frame's mixture of the frames where mask is True, and the shares (dropped out) if asked for."""
        turned = x
        if self.kind == "rotary":
            assert positions is not None
            turned = _turned(x.reshape(*x.shape[:2], self.heads, -1), positions).reshape(x.shape)
        query, keys = self._per_head(self.linear_q(turned)), self._per_head(self.linear_k(turned))
        values = self._per_head(self.linear_v(x))
        query, beside = query * query.shape[-1] ** -0.5, None
        if self.kind in ("relative", "relative_key"):
            query, beside = self._beside(query, positions)
        mixed, found = self._mixed(query, keys, values, beside, mask, key, shares)
        return self.linear_out(mixed.swapaxes(1, 2).reshape(x.shape)), found if shares else None

    def _mixed(
        self,
        query: Float[Array, "b h n e"],
        keys: Float[Array, "b h n e"],
        values: Float[Array, "b h n e"],
        beside: tuple[Float[Array, "b h n e"], Float[Array, "h m e"]] | None,
        mask: Bool[Array, "b n"],
        key: PRNGKeyArray | None,
        shares: bool,
    ) -> tuple[Float[Array, "b h n e"], Float[Array, "b h n n"] | None]:
        """Return mixtures of values and the shares; those of long clips in parts, and without shares."""
        parted = not shares and in_parts(query.shape[2], key)
        if beside is None:
            if parted:
                return in_blocks(query, keys, values, mask), None
            mixed, found = mix(product("bhqe,bhke->bhqk", query, keys), values, mask, self.rate, key)
            if cudnn_serves(values, self.rate, key):
                mixed = fused(query, keys, values, mask)
            return mixed, found
        if parted:
            return _by_rows(query, keys, values, *beside, mask), None
        scores = product("bhqe,bhke->bhqk", query, keys)
        return mix(scores + skewed(product("bhqe,hme->bhqm", *beside)), values, mask, self.rate, key)

    def _beside(
        self, query: Float[Array, "b h n e"], positions: Positions
    ) -> tuple[Float[Array, "b h n e"], tuple[Float[Array, "b h n e"], Float[Array, "h m e"]]]:
        """Return the query of keys, and the query of distances with the vectors of these, from n - 1 before on."""
        count = query.shape[2]
        if self.kind == "relative_key":
            distance = jnp.arange(1 - count, count)
            places = jnp.clip(distance, -self.before, self.after) + self.before
            vectors = self.distance_embedding.embedding[...][places]
            return query, (query, jnp.broadcast_to(vectors, (self.heads, *vectors.shape)))
        assert positions is not None
        vectors = self.linear_pos(positions.astype(query.dtype))
        vectors = vectors.reshape(vectors.shape[0], self.heads, -1).swapaxes(0, 1)
        scale = query.shape[-1] ** -0.5
        content, place = (query + scale * bias[...][:, None] for bias in (self.pos_bias_u, self.pos_bias_v))
        return content.astype(query.dtype), (place.astype(query.dtype), vectors)

    def _per_head(self, x: Float[Array, "b n d"]) -> Float[Array, "b h n e"]:
        return x.reshape(*x.shape[:2], self.heads, -1).swapaxes(1, 2)


def _turned(x: Float[Array, "b n h e"], positions: Float32[Array, "2 n e"]) -> Float[Array, "b n h e"]:
    """Return each head's features turned by its frame's position."""
    half = x.shape[-1] // 2
    across = jnp.concatenate([-x[..., half:], x[..., :half]], axis=-1)
    cosine, sine = positions[:, :, None]
    return (x * cosine + across * sine).astype(x.dtype)


def _by_rows(
    query: Float[Array, "b h n e"],
    keys: Float[Array, "b h n e"],
    values: Float[Array, "b h n e"],
    place: Float[Array, "b h n e"],
    vectors: Float[Array, "h m e"],
    mask: Bool[Array, "b n"],
) -> Float[Array, "b h n e"]:
    """Return the mixtures of frames with distances, of which memory holds the scores of `BLOCK` frames."""
    count = query.shape[2]
    blocks = -(-count // BLOCK)
    spare = blocks * BLOCK - count

    def in_rows(x: Array) -> Array:
        x = jnp.pad(x, ((0, 0), (0, 0), (0, spare), (0, 0)))
        return jnp.moveaxis(x.reshape(*x.shape[:2], blocks, BLOCK, -1), 2, 0)

    # The last rows of the last block are beyond the clip, and further behind its first frame than any of it.
    table = jnp.pad(vectors, ((0, 0), (spare, 0), (0, 0)))

    def of_rows(block: tuple[Array, Array, Int[Array, ""]]) -> Array:
        own, near, index = block
        first = (blocks - 1 - index) * BLOCK
        seen = jax.lax.dynamic_slice_in_dim(table, first, count + BLOCK - 1, axis=1)
        scores = product("bhqe,bhke->bhqk", own, keys) + skewed(product("bhqe,hme->bhqm", near, seen))
        return mix(scores, values, mask, 0.0, None)[0]

    found = jnp.moveaxis(jax.lax.map(of_rows, (in_rows(query), in_rows(place), jnp.arange(blocks))), 0, 2)
    return found.reshape(*found.shape[:2], -1, found.shape[-1])[:, :, :count]
