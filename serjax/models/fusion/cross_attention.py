"""Video that looks at sound and sound that looks at video, frame by frame, before they are joined."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from serjax.models.fusion.config import Fusion
from serjax.models.fusion.heads import Fused, Present, Shares, hide, weigh
from serjax.models.layers.activations import split
from serjax.models.layers.attention import mix
from serjax.models.layers.convolution import strided
from serjax.models.layers.heads import NormHead
from serjax.models.layers.image import KERNEL, linear
from serjax.models.layers.layer_norm import LayerNorm
from serjax.models.layers.masking import length_mask
from serjax.models.layers.matmul import product
from serjax.models.layers.pooling import masked_mean

GATE_BIAS = -1.0
"""Initial bias of the gate."""


class CrossAttention(nnx.Module):
    """Multi-head attention of one sequence to another, initialised as PyTorch's MultiheadAttention is."""

    def __init__(self, size: int, heads: int, rate: float, *, rngs: nnx.Rngs):
        self.heads, self.rate = heads, rate
        # PyTorch draws the three as one matrix [3 d, d] by Glorot's rule.
        glorot = nnx.initializers.variance_scaling(0.5, "fan_in", "uniform")
        self.q_proj = nnx.Linear(size, size, kernel_init=glorot, rngs=rngs)
        self.k_proj = nnx.Linear(size, size, kernel_init=glorot, rngs=rngs)
        self.v_proj = nnx.Linear(size, size, kernel_init=glorot, rngs=rngs)
        self.out_proj = nnx.Linear(size, size, kernel_init=KERNEL, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "b q d"],
        y: Float[Array, "b k d"],
        counts: Int[Array, "b"],
        key: PRNGKeyArray | None = None,
    ) -> tuple[Float[Array, "b q d"], Float[Array, "b h q k"]]:
        """Return what each place of x takes from the first `counts` places of y, and in which shares.

        Both are 0 where there is none. A key means training (dropout of shares).
        """
        query, keys, values = (
            layer(z).reshape(*z.shape[:2], self.heads, -1).swapaxes(1, 2)
            for layer, z in ((self.q_proj, x), (self.k_proj, y), (self.v_proj, y))
        )
        scores = product("bhqe,bhke->bhqk", query * query.shape[-1] ** -0.5, keys)
        mixed, shares = mix(scores, values, length_mask(counts, y.shape[1]), self.rate, key)
        taken = self.out_proj(mixed.swapaxes(1, 2).reshape(x.shape))
        some = counts[:, None, None] > 0
        return jnp.where(some, taken, 0), jnp.where(some[..., None], shares, 0)


class CrossAttentionFusion(nnx.Module):
    """Cross-attention both ways with residuals and norms, means over time, and a head.

    The weights of `audio_conv` and `audio_in` are there in either audio path, as in the original, though the path
    `sequence` leaves them alone.
    """

    def __init__(self, inputs: int, audio: int, video: int, config: Fusion, classes: int, *, rngs: nnx.Rngs):
        """Build the fusion with random weights.

        Args:
            inputs: Width of the sequence that the path `conv` looks at.
            audio: Width of the sequence that the path `sequence` looks at.
            video: Width of a frame's vector.
            config: Path, widths, head, dropout.
            classes: Number of classes.
            rngs: Source of the weights.
        """
        size = config.d_model
        self.config = config
        self.video_in = linear(video, size, rngs)
        self.audio_conv = nnx.Conv(inputs, size, 3, kernel_init=KERNEL, rngs=rngs)
        self.audio_in = linear(size, size, rngs)
        self.audio_sequence = linear(audio, size, rngs) if config.audio_path == "sequence" else None
        rate = config.attention_dropout
        self.video_to_audio = CrossAttention(size, config.heads, rate, rngs=rngs)
        self.audio_to_video = CrossAttention(size, config.heads, rate, rngs=rngs)
        self.video_norm = LayerNorm(size, epsilon=1e-5, rngs=rngs)
        self.audio_norm = LayerNorm(size, epsilon=1e-5, rngs=rngs)
        if config.head == "concat":
            self.head: NormHead | None = NormHead(2 * size, 256, classes, "relu", 0.0, norm=False, rngs=rngs)
            return
        self.head = None
        self.gate = NormHead(2 * size, size, 1, "relu", 0.0, norm=False, rngs=rngs)
        for layer in (self.gate.dense, self.gate.out_proj):
            assert layer.bias is not None
            layer.bias.set_value(jnp.full_like(layer.bias[...], GATE_BIAS))
        self.classifier = linear(size, classes, rngs)

    def __call__(
        self,
        audio: Float[Array, "b n a"],
        audio_frames: Int[Array, "b"],
        video: Float[Array, "b f v"],
        video_frames: Int[Array, "b"],
        key: PRNGKeyArray | None = None,
    ) -> Fused:
        """Return the logits, the gate if there is one, and the attention.

        Args:
            audio: The sequence of the configured path.
            audio_frames: True frames of each clip's sound, 0 for none.
            video: A vector a frame.
            video_frames: True frames of each clip's video, 0 for none.
            key: Random key of training (modality dropout, dropout of shares, stochastic depth); None for evaluation.
        """
        hidden, to_audio, to_video, *depth = split(key, 5)
        present = hide(Present(audio_frames > 0, video_frames > 0), self.config.modality_dropout_rate, hidden)
        audio_frames = jnp.where(present.audio, audio_frames, 0)
        video_frames = jnp.where(present.video, video_frames, 0)
        x, y = self.video_in(video), self._listen(audio, audio_frames)
        seen, video_to_audio = self.video_to_audio(x, y, audio_frames, to_audio)
        heard, audio_to_video = self.audio_to_video(y, x, video_frames, to_video)
        x = self.video_norm(x + self._kept(seen, depth[0]))
        y = self.audio_norm(y + self._kept(heard, depth[1]))
        logits, share = self._join(masked_mean(x, video_frames), masked_mean(y, audio_frames), present)
        return Fused(logits, share, Shares(video_to_audio, audio_to_video, audio_frames, video_frames))

    def _listen(self, audio: Float[Array, "b n a"], frames: Int[Array, "b"]) -> Float[Array, "b n d"]:
        if self.audio_sequence is not None:
            return self.audio_sequence(audio)
        assert self.audio_conv.bias is not None
        # What follows the clip's end must not reach its last frame.
        audio = jnp.where(length_mask(frames, audio.shape[1])[:, :, None], audio, 0)
        y = strided(jnp.pad(audio, ((0, 0), (1, 1), (0, 0))), self.audio_conv.kernel[...], 1)
        return self.audio_in((y + self.audio_conv.bias[...]).astype(audio.dtype))

    def _kept(self, branch: Float[Array, "b n d"], key: PRNGKeyArray | None) -> Float[Array, "b n d"]:
        """Leave out the branches of some clips, and scale up the others (Huang et al., 2016)."""
        rate = self.config.stochastic_depth
        if key is None or rate == 0:
            return branch
        return jnp.where(jax.random.bernoulli(key, 1 - rate, (len(branch), 1, 1)), branch / (1 - rate), 0)

    def _join(
        self, seen: Float[Array, "b d"], heard: Float[Array, "b d"], present: Present
    ) -> tuple[Float[Array, "b c"], Float[Array, "b"] | None]:
        """Return the logits, and the share of the sound where a gate gives it; the gate weighs the video."""
        pair = jnp.concatenate([seen, heard], axis=-1)
        if self.head is not None:
            return self.head(pair), None
        share = weigh(jax.nn.sigmoid(self.gate(pair)), present.video, present.audio)
        return self.classifier(share * seen + (1 - share) * heard), 1 - share[:, 0]
