"""The two small networks on log-mel images of RAVDESS audio-visual fusion; initialised as PyTorch's layers are."""

from itertools import pairwise

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from serjax.models.layers.batch_norm import BatchNorm, column_mask, real_columns, strided
from serjax.models.layers.image import adaptive_average, conv, convolve, linear, max_pool


class SpectrogramNetwork(nnx.Module):
    """From a log-mel image to a map, 128 features and logits; a network adds `map`, `pool` and a last layer `fc2`."""

    stride: int
    """Frames of the spectrogram from one column of the map to the next."""
    fc2: nnx.Linear

    def __call__(
        self,
        image: Float[Array, "b m n 1"],
        frames: Int[Array, "b"] | None = None,
        weight: Float[Array, "b"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "b c"]:
        """Return the logits.

        Args:
            image: Log-mel in dB, 64 bands by frames.
            frames: True frames of each clip, of which training makes batch statistics; None: all.
            weight: 0 for rows that only fill up a batch and stay out of batch statistics; None: there are none.
            key: Any key means training, with the batch's statistics; None evaluation, with the running ones.
        """
        return self.fc2(self.features(image, frames, weight, key))

    def features(
        self,
        image: Float[Array, "b m n 1"],
        frames: Int[Array, "b"] | None = None,
        weight: Float[Array, "b"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "b 128"]:
        """Return the features before the last layer; arguments as for a call."""
        return self.pool(self.map(image, None if key is None else real_columns(image, frames, weight)))

    def sequence(
        self,
        image: Float[Array, "b m n 1"],
        frames: Int[Array, "b"],
        weight: Float[Array, "b"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Float[Array, "b t 128"], Int[Array, "b"]]:
        """Return what the last layer would see of each column of the map, were it the whole map, and the true columns.

        Arguments are those of a call.
        """
        x = self.map(image, None if key is None else real_columns(image, frames, weight))
        batch, high, wide, channels = x.shape
        columns = x.swapaxes(1, 2).reshape(batch * wide, high, 1, channels)
        counts = jnp.minimum(-(-frames // self.stride), wide)
        return self.pool(columns).reshape(batch, wide, -1), counts

    def map(self, image: Float[Array, "b m n 1"], columns: Int[Array, "b"] | None) -> Float[Array, "b h w c"]:
        """Return the last map; `columns` are the image's real ones in training, None in evaluation."""
        raise NotImplementedError  # each network has its own

    def pool(self, x: Float[Array, "b h w c"]) -> Float[Array, "b 128"]:
        """Return the features before the last layer, from a map."""
        raise NotImplementedError  # each network has its own


class AudioCNN(SpectrogramNetwork):
    """Three convolutions with batch norm, 4 x 4 means and two Linear layers: 155,752 parameters for 8 classes."""

    stride = 4

    def __init__(self, classes: int, *, rngs: nnx.Rngs):
        widths = (1, 16, 32, 64)
        pairs = list(pairwise(widths))
        self.convs = nnx.List([conv(*pair, 3, rngs, bias=True) for pair in pairs])
        self.norms = nnx.List([BatchNorm(width, rngs=rngs) for _, width in pairs])
        self.fc1 = linear(64 * 16, 128, rngs)
        self.fc2 = linear(128, classes, rngs)

    def map(self, image: Float[Array, "b m n 1"], columns: Int[Array, "b"] | None) -> Float[Array, "b h w 64"]:
        """Return the last map; `columns` are the image's real ones in training, None in evaluation."""
        x = image
        for index, (layer, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            y = convolve(layer, x)
            x = jax.nn.relu(norm(y, column_mask(y, columns)))
            if index < 2:
                x, columns = max_pool(x, 2), strided(columns, 2)
        return x

    def pool(self, x: Float[Array, "b h w 64"]) -> Float[Array, "b 128"]:
        """Return the features before the last layer, from a map."""
        # PyTorch flattens channels first.
        return jax.nn.relu(self.fc1(adaptive_average(x, 4).transpose(0, 3, 1, 2).reshape(x.shape[0], -1)))


class PlainBlock(nnx.Module):
    """Convolution, norm, ReLU, convolution, norm; nothing is added."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.conv1 = conv(width, width, 3, rngs)
        self.bn1 = BatchNorm(width, rngs=rngs)
        self.conv2 = conv(width, width, 3, rngs)
        self.bn2 = BatchNorm(width, rngs=rngs)

    def __call__(self, x: Float[Array, "b h w c"], columns: Int[Array, "b"] | None) -> Float[Array, "b h w c"]:
        """Return a map of the same shape; `columns` are the real ones in training."""
        mask = column_mask(x, columns)
        return self.bn2(convolve(self.conv2, jax.nn.relu(self.bn1(convolve(self.conv1, x), mask))), mask)


class AudioResNet18(SpectrogramNetwork):
    """A ResNet18 without its residual additions, as the seed has it: 12,785,224 parameters for 8 classes."""

    stride = 32

    def __init__(self, classes: int, *, rngs: nnx.Rngs):
        widths = (64, 128, 256, 512)
        self.conv1 = conv(1, 64, 7, rngs)
        self.bn1 = BatchNorm(64, rngs=rngs)
        self.down_convs = nnx.List([conv(width // 2, width, 1, rngs) for width in widths[1:]])
        self.down_norms = nnx.List([BatchNorm(width, rngs=rngs) for width in widths[1:]])
        self.layers = nnx.List([nnx.List([PlainBlock(width, rngs=rngs) for _ in range(2)]) for width in widths])
        self.fc1 = linear(512, 128, rngs)
        self.fc2 = linear(128, classes, rngs)

    def map(self, image: Float[Array, "b m n 1"], columns: Int[Array, "b"] | None) -> Float[Array, "b h w 512"]:
        """Return the last map; `columns` are the image's real ones in training, None in evaluation."""
        x, columns = convolve(self.conv1, image, 2), strided(columns, 2)
        x = max_pool(jax.nn.relu(self.bn1(x, column_mask(x, columns))), 3, padding=1)
        columns = strided(columns, 2)
        for stage, pair in enumerate(self.layers):
            if stage:
                x, columns = convolve(self.down_convs[stage - 1], x, 2), strided(columns, 2)
                x = self.down_norms[stage - 1](x, column_mask(x, columns))
            for block in pair:
                x = block(x, columns)
        return x

    def pool(self, x: Float[Array, "b h w 512"]) -> Float[Array, "b 128"]:
        """Return the features before the last layer, from a map."""
        return self.fc1(jnp.mean(x, axis=(1, 2)))
