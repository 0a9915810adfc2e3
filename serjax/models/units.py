"""A vector a moment of a clip in place of pictures, such as the strengths of facial action units."""

import jax
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from serjax.models.maps import linear
from serjax.models.pooling import masked_mean
from serjax.models.resnet import WIDTHS
from serjax.models.sound_classifier import Standardizer


class UnitsNet(nnx.Module):
    """Standardisation, Linear to the width of a ResNet18, ReLU; and a Linear layer, called as `VideoNet` is."""

    def __init__(self, units: int, classes: int, *, rngs: nnx.Rngs):
        self.standardize = Standardizer(units)
        self.hidden = linear(units, WIDTHS[-1], rngs)
        self.fc = linear(WIDTHS[-1], classes, rngs)

    def __call__(
        self,
        values: Float[Array, "b f d"],
        counts: Int[Array, "b"],
        key: PRNGKeyArray | None = None,
        weight: Float[Array, "b"] | None = None,
    ) -> Float[Array, "b c"]:
        """Return the logits; arguments as for `VideoNet`."""
        return self.fc(masked_mean(*self.sequence(values, counts, key, weight)))

    def sequence(
        self,
        values: Float[Array, "b f d"],
        counts: Int[Array, "b"],
        key: PRNGKeyArray | None = None,
        weight: Float[Array, "b"] | None = None,
    ) -> tuple[Float[Array, "b f 512"], Int[Array, "b"]]:
        """Return a vector a moment, and how many of them are a clip's own; nothing in it depends on the others."""
        return jax.nn.relu(self.hidden(self.standardize(values))), counts
