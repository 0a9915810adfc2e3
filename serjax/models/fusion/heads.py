"""Heads of fusion, from a vector of the sound and one of the video to logits: averaged, concatenated, or gated."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from serjax.models.fusion.config import Fusion
from serjax.models.layers.activations import split
from serjax.models.layers.heads import NormHead
from serjax.models.layers.image import linear


class Present(NamedTuple):
    """Which clips have sound, and which have video."""

    audio: Bool[Array, "b"]
    video: Bool[Array, "b"]


class Shares(NamedTuple):
    """Attention weights in both directions. A row adds up to 1, or to 0 where there is nothing to attend to.

    Attributes:
        video_to_audio: share of each stretch of sound (last axis) in what each frame took from it.
        audio_to_video: share of each frame in what each stretch of sound took from it.
        audio_frames: how many stretches of sound each clip has.
        video_frames: how many frames each clip has.
    """

    video_to_audio: Float[Array, "b h f n"]
    audio_to_video: Float[Array, "b h n f"]
    audio_frames: Int[Array, "b"]
    video_frames: Int[Array, "b"]


class Fused(NamedTuple):
    """A fusion's answer.

    Attributes:
        logits: log-probabilities in `late`.
        audio_share: how much of the sum of sound and video is sound, where a gate says so.
        attention: who looked at what, in cross-attention.
    """

    logits: Float[Array, "b c"]
    audio_share: Float[Array, "b"] | None = None
    attention: Shares | None = None


def average(audio: Float[Array, "b c"], video: Float[Array, "b c"], present: Present) -> Float[Array, "b c"]:
    """Return the logarithm of the mean of both logits' probabilities, or of those of the one that is present.

    As log-probabilities are logits that softmax only turns into what they are the logarithms of, cross-entropy of them
    is NLL of them. A clip with neither gets the mean.
    """
    logs = jnp.stack([jax.nn.log_softmax(x.astype(jnp.float32)) for x in (audio, video)])
    there = jnp.stack(present)
    there = (there | ~there.any(axis=0))[:, :, None]
    return jax.nn.logsumexp(jnp.where(there, logs, -jnp.inf), axis=0) - jnp.log(there.sum(axis=0))


def hide(present: Present, rate: float, key: PRNGKeyArray | None) -> Present:
    """Return what is left of clips that have both, each losing its sound or its video with probability `rate`."""
    if key is None or rate == 0:
        return present
    draw = jax.random.uniform(key, present.audio.shape)
    both = present.audio & present.video
    return Present(present.audio & ~(both & (draw < rate)), present.video & ~(both & (draw >= 1 - rate)))


def weigh(share: Float[Array, "b 1"], first: Bool[Array, "b"], second: Bool[Array, "b"]) -> Float[Array, "b 1"]:
    """Return the first one's share: what the gate says where both are present, all or nothing elsewhere."""
    return jnp.where(second[:, None], jnp.where(first[:, None], share, 0), 1).astype(share.dtype)


class Projections(nnx.Module):
    """Sound and video, each brought to the same width; zero where there is none."""

    def __init__(self, audio: int, video: int, config: Fusion, *, rngs: nnx.Rngs):
        self.audio_proj = linear(audio, config.common, rngs)
        self.video_proj = linear(video, config.common, rngs)
        self.config = config

    def project(
        self, audio: Float[Array, "b a"], video: Float[Array, "b v"], present: Present
    ) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        """Return both projections."""
        heard, seen = self.audio_proj(audio), self.video_proj(video)
        return jnp.where(present.audio[:, None], heard, 0), jnp.where(present.video[:, None], seen, 0)


class ConcatFusion(Projections):
    """Both projections side by side, Linear, ReLU, Dropout, Linear."""

    def __init__(self, audio: int, video: int, config: Fusion, classes: int, *, rngs: nnx.Rngs):
        super().__init__(audio, video, config, rngs=rngs)
        width = config.common
        self.head = NormHead(2 * width, width, classes, "relu", config.dropout, norm=False, rngs=rngs)

    def __call__(
        self,
        audio: Float[Array, "b a"],
        video: Float[Array, "b v"],
        present: Present,
        key: PRNGKeyArray | None = None,
    ) -> Fused:
        """Return the logits; a key means training (modality dropout, dropout)."""
        hidden, head = split(key, 2)
        pair = self.project(audio, video, hide(present, self.config.modality_dropout_rate, hidden))
        return Fused(self.head(jnp.concatenate(pair, axis=-1), head))


class GatedFusion(Projections):
    """g * audio + (1 - g) * video of both projections, and a Linear layer; g comes from both."""

    def __init__(self, audio: int, video: int, config: Fusion, classes: int, *, rngs: nnx.Rngs):
        super().__init__(audio, video, config, rngs=rngs)
        width = config.common
        self.gate = NormHead(2 * width, width, 1, "relu", config.dropout, norm=False, rngs=rngs)
        self.classifier = linear(width, classes, rngs)

    def __call__(
        self,
        audio: Float[Array, "b a"],
        video: Float[Array, "b v"],
        present: Present,
        key: PRNGKeyArray | None = None,
    ) -> Fused:
        """Return the logits and the gate; a key means training (modality dropout, dropout)."""
        hidden, gate = split(key, 2)
        present = hide(present, self.config.modality_dropout_rate, hidden)
        heard, seen = self.project(audio, video, present)
        share = jax.nn.sigmoid(self.gate(jnp.concatenate([heard, seen], axis=-1), gate))
        share = weigh(share, present.audio, present.video)
        return Fused(self.classifier(share * heard + (1 - share) * seen), share[:, 0])
