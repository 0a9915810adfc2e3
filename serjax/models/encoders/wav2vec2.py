"""wav2vec2, HuBERT and WavLM: one encoder, told apart by its configuration.

Attributes are called what transformers' PyTorch modules call them, so that a checkpoint's names need no table.
"""

import math
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from serjax.models.encoders.attention import Attention, GatedAttention, in_parts, linear
from serjax.models.encoders.feature_extractor import FeatureExtractor
from serjax.models.encoders.stack import BaseEncoder, EncoderOutput, check_waves, run_layer
from serjax.models.encoders.wav2vec2_bert_config import Wav2Vec2BertConfig
from serjax.models.encoders.wav2vec2_config import Wav2Vec2Config
from serjax.models.layers.activations import ACTIVATIONS, dropout, split
from serjax.models.layers.convolution import grouped
from serjax.models.layers.layer_norm import LayerNorm
from serjax.models.layers.masking import length_mask, span_mask
from serjax.models.layers.matmul import Linear


class WeightNormConv(nnx.Module):
    """A grouped convolution trained as direction and length (PyTorch's weight_norm with dim=2).

    kernel = weight_g * weight_v / |weight_v|, the norm of a tap taken over all its weights (Salimans and Kingma, 2016).
    """

    def __init__(self, config: Wav2Vec2Config, *, rngs: nnx.Rngs):
        size, taps = config.hidden_size, config.num_conv_pos_embeddings
        self.groups = config.num_conv_pos_embedding_groups
        deviation = 2 * math.sqrt(1 / (taps * size))
        direction = deviation * jax.random.normal(rngs.params(), (taps, size // self.groups, size))
        self.weight_g = nnx.Param(_tap_norm(direction))
        self.weight_v = nnx.Param(direction)
        self.bias = nnx.Param(jnp.zeros(size))

    def kernel(self) -> Float[Array, "k i d"]:
        """Return the direction, of the length."""
        direction = self.weight_v[...]
        return direction * (self.weight_g[...] / _tap_norm(direction)).astype(direction.dtype)

    def __call__(self, x: Float[Array, "b n d"]) -> Float[Array, "b n d"]:
        """Return the convolution, as long as x; an even kernel sees one more frame before than after."""
        return grouped(x, self.kernel(), self.groups) + self.bias[...]


def _tap_norm(weight: Float[Array, "k i o"]) -> Float[Array, "k 1 1"]:
    return jnp.sqrt(jnp.sum(jnp.square(weight.astype(jnp.float32)), axis=(1, 2), keepdims=True))


class PositionalConvEmbedding(nnx.Module):
    """Convolutional embedding of a frame's position."""

    convolution: ClassVar[type[WeightNormConv]] = WeightNormConv

    def __init__(self, config: Wav2Vec2Config, *, rngs: nnx.Rngs):
        self.conv = self.convolution(config, rngs=rngs)
        self.activation = ACTIVATIONS[config.feat_extract_activation]

    def __call__(self, x: Float[Array, "b n d"], mask: Bool[Array, "b n"] | None) -> Float[Array, "b m d"]:
        """Return what is to be added to x, which is zero beyond a clip: a mask changes nothing here."""
        return self.activation(self.conv(x))


class FeedForward(nnx.Module):
    """Two Linear layers with an activation between."""

    def __init__(self, config: Wav2Vec2Config | Wav2Vec2BertConfig, *, rngs: nnx.Rngs):
        self.activation = ACTIVATIONS[config.hidden_act]
        self.activation_dropout = config.activation_dropout
        self.hidden_dropout = config.hidden_dropout
        self.intermediate_dense = linear(config.hidden_size, config.intermediate_size, rngs)
        self.output_dense = linear(config.intermediate_size, config.hidden_size, rngs)

    def __call__(self, x: Float[Array, "b n d"], key: PRNGKeyArray | None) -> Float[Array, "b n d"]:
        """Return the layer's output, without the residual."""
        inner, outer = split(key, 2)
        x = dropout(self.activation(self.intermediate_dense(x)), self.activation_dropout, inner)
        return dropout(self.output_dense(x), self.hidden_dropout, outer)


class AttnAdapterLayer(nnx.Module):
    """Narrow layer of one language behind a block, as MMS has it (Pratap et al., 2023)."""

    def __init__(self, config: Wav2Vec2Config, width: int, *, rngs: nnx.Rngs):
        self.norm = LayerNorm(config.hidden_size, epsilon=1e-5, rngs=rngs)
        self.linear_1 = linear(config.hidden_size, width, rngs)
        self.linear_2 = linear(width, config.hidden_size, rngs)

    def __call__(self, x: Float[Array, "b n d"]) -> Float[Array, "b n d"]:
        """Return x and what the adapter adds to it."""
        return x + self.linear_2(jax.nn.relu(self.linear_1(self.norm(x))))


class EncoderLayer(nnx.Module):
    """Attention and feed-forward with residuals; norms after them, or before them (`do_stable_layer_norm`)."""

    def __init__(self, config: Wav2Vec2Config, index: int, *, rngs: nnx.Rngs):
        self.norm_first = config.do_stable_layer_norm
        self.hidden_dropout = config.hidden_dropout
        if config.model_type == "wavlm":
            self.attention: Attention = GatedAttention(config, first=index == 0, rngs=rngs)
        else:
            self.attention = Attention(config, rngs=rngs)
        self.layer_norm = LayerNorm(config.hidden_size, epsilon=config.layer_norm_eps, rngs=rngs)
        self.feed_forward = FeedForward(config, rngs=rngs)
        self.final_layer_norm = LayerNorm(config.hidden_size, epsilon=config.layer_norm_eps, rngs=rngs)
        # Of post-LN encoders transformers makes none, whatever their config.json has.
        width = config.adapter_attn_dim if self.norm_first else None
        self.adapter_layer = None if width is None else AttnAdapterLayer(config, width, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "b n d"],
        mask: Bool[Array, "b n"],
        key: PRNGKeyArray | None,
        position: Float[Array, "h n n"] | Float[Array, "h m"] | None = None,
        attentions: bool = False,
    ) -> tuple[Float[Array, "b n d"], Float[Array, "b h n n"] | None]:
        """Return the next hidden states and, if asked for, the attention's shares; masked frames are not looked at."""
        shares, residual, inner = split(key, 3)
        y, weights = self.attention(
            self.layer_norm(x) if self.norm_first else x, mask, shares, position, shares=attentions
        )
        x = x + dropout(y, self.hidden_dropout, residual)
        if self.norm_first:
            x = x + self.feed_forward(self.final_layer_norm(x), inner)
            return x if self.adapter_layer is None else self.adapter_layer(x), weights
        x = self.layer_norm(x)
        return self.final_layer_norm(x + self.feed_forward(x, inner)), weights


class Encoder(nnx.Module):
    """Positional convolution and the stack of layers."""

    positional: ClassVar[Any] = PositionalConvEmbedding

    def __init__(self, config: Wav2Vec2Config, *, rngs: nnx.Rngs):
        self.norm_first = config.do_stable_layer_norm
        self.hidden_dropout = config.hidden_dropout
        # WavLM never skips its first layer.
        self.layerdrop = tuple(
            0.0 if index == 0 and config.model_type == "wavlm" else config.layerdrop
            for index in range(config.num_hidden_layers)
        )
        self.pos_conv_embed = self.positional(config, rngs=rngs)
        self.layer_norm = LayerNorm(config.hidden_size, epsilon=config.layer_norm_eps, rngs=rngs)
        self.layers = nnx.List([EncoderLayer(config, index, rngs=rngs) for index in range(config.num_hidden_layers)])

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
    ) -> tuple[tuple[Float[Array, "b n d"], ...], tuple[Float[Array, "b h n n"], ...]]:
        """Return hidden states (the first layer's input, each layer's output, the last normalised) and attention.

        Args:
            x: Projected features; with `first` the input of that layer, and the layers before it are left out.
            mask: True where a frame is a frame of the clip.
            key: Random key for dropout and layerdrop; None for neither.
            exact: Padding changes nothing; otherwise it counts as in transformers.
            frozen_layers: So many layers, and the positional convolution, run without either; None for no frozen part.
            remat: Recompute each layer in the backward pass.
            attentions: Return attention; else there is none.
            normalize_last: False leaves the last state of a pre-LN encoder as its last layer gives it.
            first: Number of the layer to begin with; None for what comes before the layers, too.
        """
        if first is None:
            x = jnp.where(mask[:, :, None], x, 0)
            x = x + self.pos_conv_embed(x, mask if exact else None)
            if not self.norm_first:
                x = self.layer_norm(x)
        states, shares = self.layered(
            x, mask, key, first=first, frozen_layers=frozen_layers, remat=remat, attentions=attentions
        )
        if self.norm_first and normalize_last:
            states[-1] = self.layer_norm(states[-1])
        return tuple(states), shares

    def layered(
        self,
        x: Float[Array, "b n d"],
        mask: Bool[Array, "b n"],
        key: PRNGKeyArray | None,
        *,
        first: int | None = None,
        frozen_layers: int | None,
        remat: bool,
        attentions: bool,
    ) -> tuple[list[Float[Array, "b n d"]], tuple[Float[Array, "b h n n"], ...]]:
        """Return the layers' input (dropped out) and each one's output, and attention; see the call."""
        stem, *keys = split(key, 1 + len(self.layers))
        states = [x if first is not None or frozen_layers is not None else dropout(x, self.hidden_dropout, stem)]
        shares = []
        lowest = self.layers[0].attention if self.layers else None
        position = None
        if isinstance(lowest, GatedAttention):
            parted = not attentions and in_parts(x.shape[1], key)
            position = lowest.distances(x.shape[1]) if parted else lowest.relative_position(x.shape[1])
        for index, layer in tuple(enumerate(self.layers))[first or 0 :]:
            layer_key = None if frozen_layers is not None and index < frozen_layers else keys[index]
            state, weights = run_layer(
                layer,
                states[-1],
                mask,
                layer_key,
                position,
                attentions=attentions,
                layerdrop=self.layerdrop[index],
                remat=remat,
            )
            states.append(state)
            shares += [] if weights is None else [weights]
        return states, tuple(shares)


class FeatureProjection(nnx.Module):
    """From the convolutions' channels to the transformer's width."""

    def __init__(self, config: Wav2Vec2Config, *, rngs: nnx.Rngs):
        channels = config.conv_dim[-1]
        self.layer_norm = (
            LayerNorm(channels, epsilon=config.layer_norm_eps, rngs=rngs) if config.feat_proj_layer_norm else None
        )
        bound = nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
        self.projection = Linear(channels, config.hidden_size, kernel_init=bound, rngs=rngs)

    def __call__(self, x: Float[Array, "b n c"]) -> Float[Array, "b n d"]:
        """Return the projected features."""
        return self.projection(x if self.layer_norm is None else self.layer_norm(x))


class SpeechEncoder(BaseEncoder):
    """Convolutions, projection, SpecAugment and transformer.

    Parameters are in float32; where the caller casts them to bfloat16, norms, softmax and group statistics still
    compute in float32. The wave stays in float32: it is rounded behind its mean and variance.
    """

    stack: ClassVar[Any] = Encoder
    config: Wav2Vec2Config

    def __init__(self, config: Wav2Vec2Config, *, rngs: nnx.Rngs):
        self.config = config
        self.masked_spec_embed = nnx.Param(jax.random.uniform(rngs.params(), (config.hidden_size,)))
        self.feature_extractor = FeatureExtractor(config, rngs=rngs)
        self.feature_projection = FeatureProjection(config, rngs=rngs)
        self.encoder = self.stack(config, rngs=rngs)

    def projected(self, wave: Float[Array, "b t"], lengths: Int[Array, "b"], padding: str) -> Float[Array, "b n d"]:
        """Return the frames of waves in the layers' width."""
        return self.feature_projection(self.feature_extractor(wave, lengths if padding == "exact" else None))

    def __call__(
        self,
        wave: Float[Array, "b t"],
        lengths: Int[Array, "b"],
        key: PRNGKeyArray | None = None,
        *,
        padding: Literal["exact", "transformers"] = "exact",
        frozen_layers: int | None = None,
        remat: bool = False,
        attentions: bool = False,
        normalize_last: bool = True,
    ) -> EncoderOutput:
        """Encode a batch of clips.

        Args:
            wave: Samples at 16 kHz, padded on the right, t at least the receptive field.
            lengths: True number of samples of each clip.
            key: Random key for SpecAugment, dropout and layerdrop; None for evaluation, which has none of them.
            padding: exact: padding changes nothing. transformers: group norm's statistics include the padding.
            frozen_layers: Everything up to this many transformer layers runs without dropout and layerdrop
                (SpecAugment stays); None where no more than the convolutions is frozen.
            remat: Recompute transformer layers in the backward pass instead of keeping what they computed.
            attentions: Return attention weights too.
            normalize_last: False leaves the last state of a pre-LN encoder as transformers 5 has it: before its norm.

        Raises:
            UserError: the waves are shorter than one frame, or (where they are known) NaN or infinite.
        """
        check_waves(self.config, wave)
        projected, masks, layers = split(key, 3)
        x = self.projected(wave, lengths, padding)
        count = self.config.frames(lengths)
        within = length_mask(count, x.shape[1])
        if frozen_layers is None:
            x = dropout(x, self.config.feat_proj_dropout, projected)
        if masks is not None and self.config.apply_spec_augment:
            x = self._augment(x, count, masks)
        states, shares = self.encoder(
            x,
            within,
            layers,
            exact=padding == "exact",
            frozen_layers=frozen_layers,
            remat=remat,
            attentions=attentions,
            normalize_last=normalize_last,
        )
        return EncoderOutput(states, count, shares)

    def above(
        self,
        x: Float[Array, "b n d"],
        count: Int[Array, "b"],
        key: PRNGKeyArray | None = None,
        *,
        first: int,
        remat: bool = False,
    ) -> tuple[Float[Array, "b n d"], ...]:
        """Return the last hidden states, from that of index `first`, which is given; see `BaseEncoder.above`."""
        layers = split(key, 3)[2]
        within = length_mask(count, x.shape[1])
        return self.encoder(x, within, layers, frozen_layers=first, remat=remat, first=first)[0]

    def _augment(self, x: Float[Array, "b n d"], count: Int[Array, "b"], key: PRNGKeyArray) -> Float[Array, "b n d"]:
        """Put the mask embedding over spans of frames and zero over spans of features (Park et al., 2019)."""
        config, (time, feature) = self.config, jax.random.split(key)
        if config.mask_time_prob > 0:
            hidden: Bool[Array, "b n"] = span_mask(
                time, count, x.shape[1], config.mask_time_prob, config.mask_time_length, config.mask_time_min_masks
            )
            x = jnp.where(hidden[:, :, None], self.masked_spec_embed[...], x)
        if config.mask_feature_prob > 0:
            size = x.shape[2]
            hidden = span_mask(
                feature,
                jnp.full(x.shape[0], size),
                size,
                config.mask_feature_prob,
                config.mask_feature_length,
                config.mask_feature_min_masks,
            )
            x = jnp.where(hidden[:, None, :], 0, x)
        return x
