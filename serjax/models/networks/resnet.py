"""ResNet18 (He et al., 2016) on pictures and on the frames of a video, named as in torchvision."""

from collections.abc import Callable
from functools import partial
from typing import cast

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Bool, Float, UInt8

from serjax.models.layers.batch_norm import BatchNorm
from serjax.models.layers.image import convolve, max_pool
from serjax.video.config import STAGES

WIDTHS = (64, 128, 256, 512)
"""Channels of the four stages; the last is the width of what a picture becomes."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Of red, green and blue from 0 to 1, over the pictures that published weights were trained on."""
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
"""Standard deviation likewise."""


_Part = Callable[[Array, Array | None], Array]


def normalize(frames: UInt8[Array, "*b h w 3"] | Float[Array, "*b h w 3"]) -> Float[Array, "*b h w 3"]:
    """Return pictures of values from 0 to 255 as published weights want them: ImageNet's mean 0, deviation 1."""
    mean, deviation = 255 * jnp.array(IMAGENET_MEAN), 255 * jnp.array(IMAGENET_DEVIATION)
    return (frames.astype(jnp.float32) - mean) / deviation


def _conv(inputs: int, outputs: int, taps: int, rngs: nnx.Rngs) -> nnx.Conv:
    """Return a convolution initialised as torchvision's are: normal, of variance 2 over the fan out."""
    init = nnx.initializers.variance_scaling(2.0, "fan_out", "normal")
    return nnx.Conv(inputs, outputs, (taps, taps), use_bias=False, kernel_init=init, rngs=rngs)


class BasicBlock(nnx.Module):
    """Two convolutions with norms, added to what comes in."""

    def __init__(self, inputs: int, outputs: int, stride: int, *, rngs: nnx.Rngs):
        self.stride = stride
        self.conv1 = _conv(inputs, outputs, 3, rngs)
        self.bn1 = BatchNorm(outputs, rngs=rngs)
        self.conv2 = _conv(outputs, outputs, 3, rngs)
        self.bn2 = BatchNorm(outputs, rngs=rngs)
        shortcut = [_conv(inputs, outputs, 1, rngs), BatchNorm(outputs, rngs=rngs)]
        self.downsample = nnx.List(shortcut) if inputs != outputs else None

    def __call__(self, x: Float[Array, "n h w i"], mask: Bool[Array, "n 1 1"] | None) -> Float[Array, "n y x o"]:
        """Return the next map; `mask` is `BatchNorm`'s."""
        y = jax.nn.relu(self.bn1(convolve(self.conv1, x, self.stride), mask))
        y = self.bn2(convolve(self.conv2, y), mask)
        if self.downsample is not None:
            conv, norm = cast(tuple[nnx.Conv, BatchNorm], tuple(self.downsample))
            x = norm(convolve(conv, x, self.stride), mask)
        return jax.nn.relu(x + y)


class ResNet18(nnx.Module):
    """From a picture to one vector, 11,176,512 parameters."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.conv1 = _conv(3, 64, 7, rngs)
        self.bn1 = BatchNorm(64, rngs=rngs)

        def stage(inputs: int, outputs: int, stride: int) -> nnx.List:
            first = BasicBlock(inputs, outputs, stride, rngs=rngs)
            return nnx.List([first, BasicBlock(outputs, outputs, 1, rngs=rngs)])

        self.layer1 = stage(64, 64, 1)
        self.layer2 = stage(64, 128, 2)
        self.layer3 = stage(128, 256, 2)
        self.layer4 = stage(256, 512, 2)

    def __call__(
        self, image: Float[Array, "n h w 3"], real: Bool[Array, "n"] | None = None, trained: int | None = None
    ) -> Float[Array, "n 512"]:
        """Return the mean of the last map; arguments as for `map`."""
        return jnp.mean(self.map(image, real, trained), axis=(1, 2))

    def map(
        self, image: Float[Array, "n h w 3"], real: Bool[Array, "n"] | None = None, trained: int | None = None
    ) -> Float[Array, "n y x 512"]:
        """Return the last map.

        Args:
            image: Pictures, as `normalize` returns them.
            real: In training, which ones count in batch statistics; None for evaluation, with the running ones.
            trained: So many of the last stages are trained; all below them is in evaluation mode, without gradient.
                None: everything is trained.
        """
        mask = None if real is None else real[:, None, None]
        frozen = 0 if trained is None else 1 + STAGES - trained
        stages = (self.layer1, self.layer2, self.layer3, self.layer4)
        parts: list[_Part] = [self._stem, *(partial(_stage, blocks) for blocks in stages)]
        for number, part in enumerate(parts):
            image = lax.stop_gradient(part(image, None)) if number < frozen else part(image, mask)
        return image

    def _stem(self, image: Float[Array, "n h w 3"], mask: Bool[Array, "n 1 1"] | None) -> Float[Array, "n y x 64"]:
        return max_pool(jax.nn.relu(self.bn1(convolve(self.conv1, image, 2), mask)), 3, padding=1)


def _stage(blocks: nnx.List, x: Float[Array, "n h w i"], mask: Bool[Array, "n 1 1"] | None) -> Float[Array, "n y x o"]:
    for block in blocks:
        x = block(x, mask)
    return x
