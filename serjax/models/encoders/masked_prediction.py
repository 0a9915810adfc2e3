"""HuBERT's pretraining network: which cluster is each frame of, said from what its masked neighbourhood tells.

Hsu et al., "HuBERT: Self-supervised speech representation learning by masked prediction of hidden units", 2021,
sections II.B and II.D; what the paper leaves open follows fairseq's `HubertModel`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from serjax.models.encoders.wav2vec2 import SpeechEncoder
from serjax.models.encoders.wav2vec2_config import Wav2Vec2Config
from serjax.models.layers.activations import dropout, split
from serjax.models.layers.masking import length_mask
from serjax.models.layers.matmul import Linear
from serjax.models.layers.standardize import unit_variance


class Predicted(NamedTuple):
    """Output of masked prediction for a batch.

    Attributes:
        logits: Float32; beyond a clip's frames they mean nothing.
        square: Sum over a clip's frames of the mean square of what the convolutions yield, before any norm.
    """

    logits: Float[Array, "b n k"]
    square: Float[Array, "b"]


class MaskedPredictor(nnx.Module):
    """An encoder, a projection of its frames and a codebook with an entry for each cluster."""

    def __init__(
        self,
        config: Wav2Vec2Config,
        clusters: int,
        *,
        projection: int = 256,
        temperature: float = 0.1,
        normalize: bool = True,
        rngs: nnx.Rngs,
    ):
        """Build the network with random weights.

        Args:
            config: Layout of the encoder.
            clusters: Number of labels.
            projection: Width in which frames and codebook are compared.
            temperature: Cosines are divided by this.
            normalize: Bring each clip to zero mean and unit variance first.
            rngs: Source of the weights.
        """
        self.normalize, self.temperature = normalize, temperature
        self.speech_encoder = SpeechEncoder(config, rngs=rngs)
        bound = nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
        self.final_proj = Linear(config.hidden_size, projection, kernel_init=bound, rngs=rngs)
        self.label_embeddings = nnx.Param(jax.random.uniform(rngs.params(), (clusters, projection)))

    def __call__(
        self,
        wave: Float[Array, "b t"],
        lengths: Int[Array, "b"],
        masked: Bool[Array, "b n"],
        key: PRNGKeyArray | None,
        *,
        feature_grad_mult: float = 1.0,
        remat: bool = False,
    ) -> Predicted:
        """Predict the labels of all frames of clips some of whose frames are masked.

        Args:
            wave: Samples at 16 kHz, padded on the right.
            lengths: True number of samples of each clip.
            masked: Frames whose projected features the mask embedding replaces.
            key: Random key for dropout and layerdrop; None for neither.
            feature_grad_mult: Gradients that reach the convolutions are multiplied by this.
            remat: Recompute transformer layers in the backward pass.
        """
        encoder, config = self.speech_encoder, self.speech_encoder.config
        projected, layers = split(key, 2)
        wave = unit_variance(wave, lengths) if self.normalize else wave
        features = _scale_gradient(encoder.feature_extractor(wave, lengths), feature_grad_mult)
        within = length_mask(config.frames(lengths), features.shape[1])
        square = jnp.mean(jnp.square(features.astype(jnp.float32)), axis=2)
        x = dropout(encoder.feature_projection(features), config.feat_proj_dropout, projected)
        x = jnp.where(masked[:, :, None], encoder.masked_spec_embed[...], x)
        states, _ = encoder.encoder(x, within, layers, frozen_layers=None, remat=remat)
        said = _unit(self.final_proj(states[-1])) / self.temperature
        logits = jnp.einsum("bnp,kp->bnk", said, _unit(self.label_embeddings[...]))
        return Predicted(logits, jnp.sum(jnp.where(within, square, 0), axis=1))


def _scale_gradient(x: Float[Array, "..."], factor: float) -> Float[Array, "..."]:
    """Return x, whose gradient is multiplied by the factor."""
    if factor == 1:
        return x
    constant = lax.stop_gradient(x)
    return constant + factor * (x - constant)


def _unit(x: Float[Array, "... p"]) -> Float[Array, "... p"]:
    """Return x over its length, in float32; PyTorch's cosine_similarity has the same floor."""
    x = x.astype(jnp.float32)
    return x * lax.rsqrt(jnp.maximum(jnp.sum(jnp.square(x), axis=-1, keepdims=True), 1e-16))
