"""From a pooled vector to logits."""

from typing import Literal

import jax
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from serjax.models.layers.activations import dropout, gelu
from serjax.models.layers.layer_norm import LayerNorm

Activation = Literal["gelu", "relu", "identity"]

_ACTIVATIONS = {"gelu": gelu, "relu": jax.nn.relu, "identity": lambda x: x}


class NormHead(nnx.Module):
    """LayerNorm, Linear, activation, Dropout, Linear: GELU after wav2vec2 and ReLU after HuBERT in SER-Baseline.

    Without the norm, and as wide as the encoder, it is the head of the WavLM audio network for RAVDESS. Without the
    activation too, it is `projector` and `classifier` of transformers' ForSequenceClassification.
    """

    def __init__(
        self,
        features: int,
        size: int,
        classes: int,
        activation: Activation,
        dropout: float,
        *,
        norm: bool = True,
        rngs: nnx.Rngs,
    ):
        self.layer_norm = LayerNorm(features, epsilon=1e-5, rngs=rngs) if norm else None
        self.dense = nnx.Linear(features, size, rngs=rngs)
        self.out_proj = nnx.Linear(size, classes, rngs=rngs)
        self.activation = _ACTIVATIONS[activation]
        self.dropout = dropout

    def __call__(self, x: Float[Array, "b d"], key: PRNGKeyArray | None = None) -> Float[Array, "b c"]:
        """Return the logits; without a key there is no dropout."""
        return self.out_proj(dropout(self.hidden(x), self.dropout, key))

    def hidden(self, x: Float[Array, "b d"]) -> Float[Array, "b h"]:
        """Return the hidden layer before dropout."""
        return self.activation(self.dense(x if self.layer_norm is None else self.layer_norm(x)))


class LinearHead(nnx.Module):
    """One Linear layer after dropout."""

    def __init__(self, features: int, classes: int, dropout: float, *, rngs: nnx.Rngs):
        self.out_proj = nnx.Linear(features, classes, rngs=rngs)
        self.dropout = dropout

    def __call__(self, x: Float[Array, "b d"], key: PRNGKeyArray | None = None) -> Float[Array, "b c"]:
        """Return the logits; without a key there is no dropout."""
        return self.out_proj(dropout(x, self.dropout, key))
