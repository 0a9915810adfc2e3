"""SEW (Wu et al., 2021): wav2vec2 whose layers see several frames as one, and whose output has all frames again.

Attributes are called what transformers' PyTorch modules call them, so that a checkpoint's names need no table.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from serjax.models.encoders import wav2vec2
from serjax.models.encoders.attention import linear
from serjax.models.encoders.feature_extractor import FeatureExtractor
from serjax.models.encoders.sew_config import SEWConfig
from serjax.models.layers.activations import ACTIVATIONS
from serjax.models.layers.convolution import grouped
from serjax.models.layers.layer_norm import LayerNorm


class SqueezingConv(wav2vec2.WeightNormConv):
    """The positional convolution, of every `factor`-th frame only."""

    def __init__(self, config: SEWConfig, *, rngs: nnx.Rngs):
        super().__init__(config, rngs=rngs)
        self.factor = config.squeeze_factor

    def __call__(self, x: Float[Array, "b n d"]) -> Float[Array, "b m d"]:
        """Return n // factor outputs, as a sum over the frames that are squeezed into one: each has its own taps."""
        kernel, step = self.kernel(), self.factor
        taps, count = len(kernel), x.shape[1] // step
        before, after = taps // 2, taps - taps // 2
        # Zeros make the taps on both sides the same multiple of the step, as the parts then have, too.
        half = -(-after // step) * step
        kernel = jnp.pad(kernel, ((half - before, half - after), (0, 0), (0, 0)))
        parts = [grouped(x[:, i::step], kernel[i::step], self.groups)[:, :count] for i in range(step)]
        return sum(parts[1:], start=parts[0]) + self.bias[...]


class PositionalConvEmbedding(wav2vec2.PositionalConvEmbedding):
    """Convolutional embedding of the position of a squeezed frame."""

    convolution = SqueezingConv


class Upsampling(nnx.Module):
    """Several frames of one."""

    def __init__(self, config: SEWConfig, *, rngs: nnx.Rngs):
        self.factor = config.squeeze_factor
        self.projection = linear(config.hidden_size, config.hidden_size * self.factor, rngs)
        self.activation = ACTIVATIONS[config.feat_extract_activation]

    def __call__(self, x: Float[Array, "b m d"]) -> Float[Array, "b n d"]:
        """Return n = m * factor frames."""
        y = self.activation(self.projection(x))
        return y.reshape(x.shape[0], x.shape[1] * self.factor, x.shape[2])


class Encoder(wav2vec2.Encoder):
    """Squeeze, positional convolution, the stack of layers, and upsampling of the last one's output."""

    positional = PositionalConvEmbedding

    def __init__(self, config: SEWConfig, *, rngs: nnx.Rngs):
        super().__init__(config, rngs=rngs)
        self.factor = config.squeeze_factor
        self.upsample = Upsampling(config, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "b n d"],
        mask: Bool[Array, "b n"],
        key: PRNGKeyArray | None,
        *,
        exact: bool = True,
        frozen_layers: int | None,
        remat: bool,
        attentions: bool = False,
        normalize_last: bool = True,
        first: int | None = None,
    ) -> tuple[tuple[Float[Array, "b n d"], ...], tuple[Float[Array, "b h m m"], ...]]:
        """Return hidden states (the first layer's input, each layer's output, the last upsampled) and attention.

        Frames that were squeezed into one stand beside each other with its state. Those left over at a clip's end are
        zero in all states, as `last_hidden_state` is in transformers. Attention is between squeezed frames.

        Args:
            x: Projected features; with `first` the input of that layer, frame by frame as it comes out.
            mask: True where a frame is a frame of the clip.
            key: Random key for dropout and layerdrop; None for neither.
            exact: A clip is squeezed as if it was alone. Otherwise frames left over at its end are squeezed with the
                padding that follows, as far as there is some, as transformers does.
            frozen_layers: So many layers, and what is before them, run without either; None for no frozen part.
            remat: Recompute each layer in the backward pass.
            attentions: Return attention; else there is none.
            normalize_last: False leaves the last state as its layer gives it: not upsampled.
            first: Number of the layer to begin with, of `exact` alone; None for what comes before the layers, too.
        """
        squeezed, within = self.squeeze(x, mask, exact) if first is None else self.squeezed(x, mask)
        states, shares = self.layered(
            squeezed, within, key, first=first, frozen_layers=frozen_layers, remat=remat, attentions=attentions
        )
        rest = ((0, 0), (0, x.shape[1] - squeezed.shape[1] * self.factor), (0, 0))
        within = jnp.repeat(within, self.factor, axis=1)[:, :, None]
        whole = [jnp.repeat(state, self.factor, axis=1) for state in states]
        if normalize_last:
            whole[-1] = self.upsample(states[-1])
        return tuple(jnp.pad(jnp.where(within, state, 0), rest) for state in whole), shares

    def squeeze(
        self, x: Float[Array, "b n d"], mask: Bool[Array, "b n"], exact: bool
    ) -> tuple[Float[Array, "b m d"], Bool[Array, "b m"]]:
        """Return the layers' input and where it is of the clip; m = n // factor."""
        x = jnp.where(mask[:, :, None], x, 0)
        within = self._parts(mask)
        y = self._parts(x).mean(axis=2) + self.pos_conv_embed(x, None)
        return self.layer_norm(y), within.all(axis=2) if exact else within.any(axis=2)

    def squeezed(
        self, x: Float[Array, "b n d"], mask: Bool[Array, "b n"]
    ) -> tuple[Float[Array, "b m d"], Bool[Array, "b m"]]:
        """Return squeezed frames of those that stand beside each other, and where they are of the clip."""
        return self._parts(x)[:, :, 0], self._parts(mask).all(axis=2)

    def _parts(self, x: Array) -> Array:
        """Return the frames [b n ...] that are squeezed into one beside each other: [b m factor ...]."""
        count = x.shape[1] // self.factor
        return x[:, : count * self.factor].reshape(x.shape[0], count, self.factor, *x.shape[2:])


class SpeechEncoder(wav2vec2.SpeechEncoder):
    """Convolutions, projection (where widths differ), SpecAugment and transformer."""

    config: SEWConfig

    def __init__(self, config: SEWConfig, *, rngs: nnx.Rngs):
        channels, size = config.conv_dim[-1], config.hidden_size
        self.config = config
        self.masked_spec_embed = nnx.Param(jax.random.uniform(rngs.params(), (size,)))
        self.feature_extractor = FeatureExtractor(config, rngs=rngs)
        self.layer_norm = LayerNorm(channels, epsilon=config.layer_norm_eps, rngs=rngs)
        self.feature_projection = linear(channels, size, rngs) if channels != size else None  # type: ignore[assignment]
        self.encoder = Encoder(config, rngs=rngs)

    def projected(self, wave: Float[Array, "b t"], lengths: Int[Array, "b"], padding: str) -> Float[Array, "b n d"]:
        """Return the normalised frames of waves in the layers' width."""
        x = self.layer_norm(self.feature_extractor(wave, lengths if padding == "exact" else None))
        return x if self.feature_projection is None else self.feature_projection(x)
