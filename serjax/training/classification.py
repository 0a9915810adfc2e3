"""Cross-entropy of classes."""

from typing import NamedTuple

import jax
from jaxtyping import Array, Float, Int

from serjax.models.inputs import Inputs


class LabelledInputs(NamedTuple):
    """A batch of inputs with their classes.

    Attributes:
        inputs: what the model is called with.
        label: class of each row.
        weight: 0 for rows that only fill up the last batch, else 1.
    """

    inputs: Inputs
    label: Int[Array, "b"]
    weight: Float[Array, "b"]


def cross_entropy(
    logits: Float[Array, "b c"],
    target: Float[Array, "b c"],
    weight: Float[Array, "b"],
    class_weight: Float[Array, "c"],
    smoothing: float,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return summed cross-entropy and the summed weight that makes it a mean.

    Smoothing spreads that share of the target evenly over all classes (Szegedy et al. 2016, section 7).
    """
    weight = weight * (target @ class_weight)
    target = (1 - smoothing) * target + smoothing / logits.shape[-1]
    return -(weight * (target * jax.nn.log_softmax(logits)).sum(-1)).sum(), weight.sum()
