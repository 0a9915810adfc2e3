"""EfficientNet (Tan and Le, 2019) on spectrograms, named as in transformers' EfficientNetModel.

The published weights' batch statistics were gathered in TensorFlow, where a momentum of 0.99 keeps 0.99. transformers
hands the number to PyTorch, which would keep 0.01; here it means what it meant, in every norm. Drop-connect leaves out
a clip's whole branch (Huang et al., 2016), as the original does and transformers, which draws each value, does not.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import pydantic
from flax import nnx
from jax import lax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from serjax.models.layers.activations import split
from serjax.models.layers.batch_norm import BatchNorm, column_mask, real_columns, strided
from serjax.models.layers.depthwise import Padding, depthwise, pointwise, silu
from serjax.runtime.errors import UserError
from serjax.runtime.platform import target_platform

Positive = Annotated[int, pydantic.Field(gt=0, le=1 << 17)]
Factor = Annotated[float, pydantic.Field(gt=0, le=16)]
Stages = Annotated[tuple[Positive, ...], pydantic.Field(max_length=16)]
Repeats = Annotated[tuple[Annotated[int, pydantic.Field(gt=0, le=64)], ...], pydantic.Field(max_length=16)]


@dataclass(frozen=True)
class EfficientNetConfig:
    """Layout of an EfficientNet; by default B0.

    Names and meanings are those of `EfficientNetConfig` in transformers, except as said in this module's docstring.
    Tuples hold a number a stage; channels are those before `width_coefficient`, repeats those before
    `depth_coefficient`.
    """

    num_channels: Positive = 3
    width_coefficient: Factor = 1.0
    depth_coefficient: Factor = 1.0
    depth_divisor: Positive = 8
    kernel_sizes: Stages = (3, 3, 5, 3, 5, 5, 3)
    in_channels: Stages = (32, 16, 24, 40, 80, 112, 192)
    out_channels: Stages = (16, 24, 40, 80, 112, 192, 320)
    depthwise_padding: tuple[int, ...] = ()
    strides: Stages = (1, 2, 2, 2, 1, 2, 1)
    num_block_repeats: Repeats = (1, 2, 2, 3, 3, 4, 1)
    expand_ratios: Stages = (1, 6, 6, 6, 6, 6, 6)
    squeeze_expansion_ratio: Factor = 0.25
    hidden_act: Literal["swish", "silu"] = "swish"
    hidden_dim: Positive = 1280
    pooling_type: Literal["mean"] = "mean"
    batch_norm_eps: float = 1e-3
    batch_norm_momentum: float = 0.99
    drop_connect_rate: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.2

    def width(self, channels: int) -> int:
        """Return so many channels times `width_coefficient`, as a multiple of `depth_divisor` at least 0.9 of that."""
        wanted, unit = channels * self.width_coefficient, self.depth_divisor
        rounded = max(unit, int(wanted + unit / 2) // unit * unit)
        return rounded + unit if rounded < 0.9 * wanted else rounded


_ADAPTER = pydantic.TypeAdapter(EfficientNetConfig)
_NAMES = {field.name for field in fields(EfficientNetConfig)}
_PER_STAGE = ("kernel_sizes", "in_channels", "out_channels", "strides", "num_block_repeats", "expand_ratios")


def from_dict(mapping: Mapping[str, Any], source: str) -> EfficientNetConfig:
    """Read a config.json's object; keys that do not bear on the network are ignored.

    Args:
        mapping: The parsed JSON object.
        source: What to call it in a message, such as the file's path.

    Raises:
        UserError: it describes another architecture, a value is of the wrong kind, or values contradict each other.
    """
    if mapping.get("model_type") != "efficientnet":
        raise UserError(f"{source}: model_type is {mapping.get('model_type')!r}; give an efficientnet checkpoint.")
    known = {key: value for key, value in mapping.items() if key in _NAMES}
    try:
        config = _ADAPTER.validate_python(known)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        raise UserError(f"{source}: {key} is {known[key]!r}, which serjax cannot use ({first['msg']}).") from None
    if len({len(getattr(config, key)) for key in _PER_STAGE}) != 1:
        raise UserError(f"{source}: {', '.join(_PER_STAGE)} differ in length; each must have an entry a stage.")
    if config.hidden_dim != config.width(1280):
        raise UserError(f"{source}: hidden_dim is {config.hidden_dim}; width_coefficient makes {config.width(1280)}.")
    return config


@dataclass(frozen=True)
class Block:
    """Layout of one block.

    Attributes:
        inputs: Channels that come in.
        outputs: Channels that go out.
        hidden: Channels between.
        stride: Of the depthwise convolution.
        padding: Of the depthwise convolution.
        taps: Of the depthwise convolution.
        residual: Whether the input is added to the output.
        drop: Probability that training leaves out the branch of a clip.
    """

    inputs: int
    outputs: int
    hidden: int
    stride: int
    padding: Padding
    taps: int
    residual: bool
    drop: float


def blocks(config: EfficientNetConfig) -> list[Block]:
    """Return the blocks of all stages."""
    repeats = [math.ceil(config.depth_coefficient * count) for count in config.num_block_repeats]
    found: list[Block] = []
    for stage, count in enumerate(repeats):
        taps, outputs = config.kernel_sizes[stage], config.width(config.out_channels[stage])
        for repeat in range(count):
            index = len(found)
            stride = config.strides[stage] if repeat == 0 else 1
            inputs = outputs if repeat else config.width(config.in_channels[stage])
            # As TensorFlow pads an even length where the stride is 2: one less before than after.
            less = int(stride == 2 and index not in config.depthwise_padding)
            sides = (taps // 2 - less, taps // 2) if stride == 2 else ((taps - 1) // 2, taps // 2)
            found.append(
                Block(
                    inputs,
                    outputs,
                    inputs * config.expand_ratios[stage],
                    stride,
                    (sides, sides),
                    taps,
                    residual=stride == 1 and repeat > 0,
                    drop=config.drop_connect_rate * index / sum(repeats),
                )
            )
    return found


def _conv(inputs: int, outputs: int, taps: int, rngs: nnx.Rngs, *, groups: int = 1, bias: bool = False) -> nnx.Conv:
    """Return a convolution initialised as the original is: normal, of variance 2 over the fan out of one group."""
    init = nnx.initializers.variance_scaling(2.0, "fan_out" if groups == 1 else "fan_in", "normal")
    size = (taps, taps)
    return nnx.Conv(inputs, outputs, size, use_bias=bias, feature_group_count=groups, kernel_init=init, rngs=rngs)


def _norm(config: EfficientNetConfig, features: int, rngs: nnx.Rngs) -> BatchNorm:
    return BatchNorm(features, momentum=1 - config.batch_norm_momentum, epsilon=config.batch_norm_eps, rngs=rngs)


def _activated(norm: BatchNorm, x: Float[Array, "b h w c"], columns: Int[Array, "b"] | None) -> Float[Array, "b h w c"]:
    return silu(norm(x, column_mask(x, columns)))


def _pointwise(conv: nnx.Conv, x: Float[Array, "b h w i"]) -> Float[Array, "b h w o"]:
    y = pointwise(x, conv.kernel[...])
    return y if conv.bias is None else y + conv.bias[...]


class Embeddings(nnx.Module):
    """The first convolution, which halves the image."""

    def __init__(self, config: EfficientNetConfig, *, rngs: nnx.Rngs):
        width = config.width(32)
        self.convolution = _conv(config.num_channels, width, 3, rngs)
        self.batchnorm = _norm(config, width, rngs)

    def __call__(self, x: Float[Array, "b h w c"], columns: Int[Array, "b"] | None) -> Float[Array, "b m n d"]:
        """Return the first map."""
        x = lax.conv_general_dilated(
            x, self.convolution.kernel[...], (2, 2), ((0, 1), (0, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return _activated(self.batchnorm, x, columns)


class Expansion(nnx.Module):
    """More channels."""

    def __init__(self, config: EfficientNetConfig, block: Block, *, rngs: nnx.Rngs):
        self.expand_conv = _conv(block.inputs, block.hidden, 1, rngs)
        self.expand_bn = _norm(config, block.hidden, rngs)

    def __call__(self, x: Float[Array, "b h w c"], columns: Int[Array, "b"] | None) -> Float[Array, "b h w d"]:
        """Return the wider map."""
        return _activated(self.expand_bn, _pointwise(self.expand_conv, x), columns)


class Depthwise(nnx.Module):
    """A convolution of each channel by itself."""

    def __init__(self, config: EfficientNetConfig, block: Block, *, rngs: nnx.Rngs):
        self.block = block
        self.depthwise_conv = _conv(block.hidden, block.hidden, block.taps, rngs, groups=block.hidden)
        self.depthwise_norm = _norm(config, block.hidden, rngs)

    def __call__(self, x: Float[Array, "b h w c"], columns: Int[Array, "b"] | None) -> Float[Array, "b m n c"]:
        """Return a map as large, or half as large."""
        x = depthwise(x, self.depthwise_conv.kernel[...], self.block.stride, self.block.padding)
        return _activated(self.depthwise_norm, x, columns)


class SqueezeExcite(nnx.Module):
    """A gate for each channel, computed from all channels' means (Hu et al., 2018)."""

    def __init__(self, config: EfficientNetConfig, block: Block, *, rngs: nnx.Rngs):
        narrow = max(1, int(block.inputs * config.squeeze_expansion_ratio))
        self.reduce = _conv(block.hidden, narrow, 1, rngs, bias=True)
        self.expand = _conv(narrow, block.hidden, 1, rngs, bias=True)

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Return the gated map."""
        means = jnp.mean(x, axis=(1, 2), keepdims=True)
        return x * jax.nn.sigmoid(_pointwise(self.expand, silu(_pointwise(self.reduce, means))))


class Projection(nnx.Module):
    """Back to few channels."""

    def __init__(self, config: EfficientNetConfig, block: Block, *, rngs: nnx.Rngs):
        self.project_conv = _conv(block.hidden, block.outputs, 1, rngs)
        self.project_bn = _norm(config, block.outputs, rngs)

    def __call__(self, x: Float[Array, "b h w c"], columns: Int[Array, "b"] | None) -> Float[Array, "b h w d"]:
        """Return the narrower map."""
        y = _pointwise(self.project_conv, x)
        return self.project_bn(y, column_mask(y, columns))


class MobileBlock(nnx.Module):
    """Expansion, depthwise convolution, gate and projection, with a residual where shapes allow."""

    def __init__(self, config: EfficientNetConfig, block: Block, *, rngs: nnx.Rngs):
        self.block = block
        self.expansion = Expansion(config, block, rngs=rngs) if block.hidden != block.inputs else None
        self.depthwise_conv = Depthwise(config, block, rngs=rngs)
        self.squeeze_excite = SqueezeExcite(config, block, rngs=rngs)
        self.projection = Projection(config, block, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "b h w c"],
        columns: Int[Array, "b"] | None,
        key: PRNGKeyArray | None,
    ) -> Float[Array, "b m n d"]:
        """Return the next map.

        Args:
            x: A map.
            columns: How many columns of it are real, in training; None for evaluation.
            key: Random key for drop-connect; None for evaluation.
        """
        y = x if self.expansion is None else self.expansion(x, columns)
        columns = strided(columns, self.block.stride)
        y = self.projection(self.squeeze_excite(self.depthwise_conv(y, columns)), columns)
        if not self.block.residual:
            return y
        if key is not None and self.block.drop > 0:
            kept = jax.random.bernoulli(key, 1 - self.block.drop, (len(x), 1, 1, 1))
            y = jnp.where(kept, y / (1 - self.block.drop), 0)
        return x + y


class Encoder(nnx.Module):
    """The blocks and the last convolution."""

    def __init__(self, config: EfficientNetConfig, *, rngs: nnx.Rngs):
        layout = blocks(config)
        self.blocks = nnx.List([MobileBlock(config, block, rngs=rngs) for block in layout])
        self.top_conv = _conv(layout[-1].outputs, config.hidden_dim, 1, rngs)
        self.top_bn = _norm(config, config.hidden_dim, rngs)


class EfficientNet(nnx.Module):
    """From an image to one vector; the last map's mean, over all its positions as in the original."""

    def __init__(self, config: EfficientNetConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.embeddings = Embeddings(config, rngs=rngs)
        self.encoder = Encoder(config, rngs=rngs)

    def __call__(
        self,
        image: Float[Array, "b m n c"],
        frames: Int[Array, "b"] | None = None,
        weight: Float[Array, "b"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "b d"]:
        """Return the pooled features.

        Args:
            image: Spectrograms, time along the third axis.
            frames: True frames of each clip, of which training makes batch statistics; None: all.
            weight: 0 for rows that only fill up a batch and stay out of batch statistics; None: there are none.
            key: Random key for drop-connect; None for evaluation, with the running statistics.
        """
        return jnp.mean(self.map(image, frames, weight, key), axis=(1, 2))

    def map(
        self,
        image: Float[Array, "b m n c"],
        frames: Int[Array, "b"] | None = None,
        weight: Float[Array, "b"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "b h w d"]:
        """Return the last map; arguments as for a call."""
        count = image.shape[0]
        if key is None and target_platform() == "cpu" and isinstance(count, int) and count > 1:
            # A few at a time, so that what one layer writes is still in the cache when the next reads it.
            part = next(size for size in (4, 3, 2, 1) if count % size == 0)
            maps = lax.map(lambda part: self._map(part, None, None), image.reshape(-1, part, *image.shape[1:]))
            return maps.reshape(-1, *maps.shape[2:])
        return self._map(image, None if key is None else real_columns(image, frames, weight), key)

    def _map(
        self, image: Float[Array, "b m n c"], columns: Int[Array, "b"] | None, key: PRNGKeyArray | None
    ) -> Float[Array, "b h w d"]:
        columns = strided(columns, 2)
        x = self.embeddings(image, columns)
        for block, block_key in zip(self.encoder.blocks, split(key, len(self.encoder.blocks)), strict=True):
            x = block(x, columns, block_key)
            columns = strided(columns, block.block.stride)
        return _activated(self.encoder.top_bn, _pointwise(self.encoder.top_conv, x), columns)
