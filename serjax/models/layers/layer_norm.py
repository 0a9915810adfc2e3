"""Layer normalisation."""

from flax import nnx


class LayerNorm(nnx.LayerNorm):
    """Brings the features of each position to zero mean and unit variance, times scale plus bias, where `affine`.

    The variance is the mean square of what the mean leaves, as in PyTorch. Flax's own is by default the mean square
    minus the squared mean, which loses 30 times as much where the mean is ten deviations, and 500 times at a hundred.
    """

    def __init__(self, features: int, *, epsilon: float = 1e-5, affine: bool = True, rngs: nnx.Rngs):
        super().__init__(
            features, epsilon=epsilon, use_scale=affine, use_bias=affine, use_fast_variance=False, rngs=rngs
        )
