"""Encoder, pooling and head in one: from a batch of waveforms to logits."""

from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from serjax.models.config import ModelConfig
from serjax.models.encoders.build import build_encoder
from serjax.models.encoders.config import EncoderConfig
from serjax.models.layers.activations import dropout, split
from serjax.models.layers.heads import LinearHead, NormHead
from serjax.models.layers.pooling import AttentivePooling, TanhAttention, masked_mean, masked_mean_and_deviation
from serjax.models.layers.standardize import unit_variance
from serjax.runtime.errors import UserError


class Head(nnx.Module):
    """Everything above the trunk: a learned sum of layers (if asked for), dropout, pooling, classification."""

    def __init__(self, config: ModelConfig, layers: int, features: int, classes: int, *, rngs: nnx.Rngs):
        """Build the head for hidden states [b, layers, n, features]; more than one layer means a learned sum."""
        self.layer_weights = nnx.Param(jnp.zeros(layers)) if config.weighted_layers else None
        self.final_dropout = config.final_dropout
        self.pooling = _pooling(config, features, rngs)
        self.classifier = _classifier(config, 2 * features if config.pooling == "stat" else features, classes, rngs)

    def __call__(
        self, states: Float[Array, "b l n d"], frames: Int[Array, "b"], key: PRNGKeyArray | None = None
    ) -> Float[Array, "b c"]:
        """Return the logits of a batch of hidden states; without a key there is no dropout."""
        if self.layer_weights is None:
            x = states[:, -1]
        else:
            shares = jax.nn.softmax(self.layer_weights[...].astype(jnp.float32)).astype(states.dtype)
            x = jnp.einsum("l,blnd->bnd", shares, states)
        if self.final_dropout:
            before, key = split(key, 2)
            x = dropout(x, self.final_dropout, before)
        return self.classifier(self.pooling(x, frames), key)


def _pooling(
    config: ModelConfig, features: int, rngs: nnx.Rngs
) -> Callable[[Float[Array, "b n d"], Int[Array, "b"]], Float[Array, "b p"]]:
    match config.pooling:
        case "mean":
            return masked_mean
        case "stat":
            return masked_mean_and_deviation
        case "attentive":
            return AttentivePooling(features, config.attention_size, rngs=rngs)
        case "tanh_attention":
            return TanhAttention(features, rngs=rngs)


def _classifier(config: ModelConfig, pooled: int, classes: int, rngs: nnx.Rngs) -> NormHead | LinearHead:
    match config.head:
        case "linear":
            return LinearHead(pooled, classes, config.dropout, rngs=rngs)
        case "layernorm_gelu":
            return NormHead(pooled, config.head_size, classes, "gelu", config.dropout, rngs=rngs)
        case "layernorm_relu" | "relu":
            norm = config.head == "layernorm_relu"
            return NormHead(pooled, config.head_size, classes, "relu", config.dropout, norm=norm, rngs=rngs)


class Classifier(nnx.Module):
    """A trunk and its head."""

    def __init__(
        self,
        config: ModelConfig,
        encoder: EncoderConfig,
        classes: int,
        *,
        normalize: bool,
        masked: bool = True,
        rngs: nnx.Rngs,
    ):
        """Build the model with random weights.

        Args:
            config: Pooling, head, freezing, padding; its overrides are applied to `encoder`.
            encoder: Layout of the trunk.
            classes: Number of classes.
            normalize: Bring each clip to zero mean and unit variance first, as the checkpoint's
                preprocessor_config.json says (`do_normalize`).
            masked: With padding="transformers", whether padding is hidden from the encoder, as its
                `return_attention_mask` says; otherwise it counts as part of the clip, as in transformers.
            rngs: Source of the weights.

        Raises:
            UserError: more layers are to be frozen than there are.
        """
        if config.frozen == "layers" and config.frozen_layers > encoder.num_hidden_layers:
            raise UserError(
                f"--model.frozen-layers {config.frozen_layers}: the encoder has {encoder.num_hidden_layers} layers; "
                "give at most that many."
            )
        self.config = config
        self.normalize = normalize
        self.masked = masked or config.padding == "exact"
        self.trunk = build_encoder(training_config(encoder, config), rngs=rngs)
        layers = encoder.num_hidden_layers + 1 if config.weighted_layers else 1
        self.head = Head(config, layers, encoder.hidden_size, classes, rngs=rngs)

    def features(
        self, wave: Float[Array, "b t"], lengths: Int[Array, "b"], key: PRNGKeyArray | None = None
    ) -> tuple[Float[Array, "b l n d"], Int[Array, "b"]]:
        """Return the hidden states that the head wants, and the number of true frames.

        Args:
            wave: Samples at 16 kHz, padded on the right.
            lengths: True number of samples of each clip.
            key: Random key of training; a trunk that is frozen as a whole does without.

        Returns:
            Hidden states of all layers with `weighted_layers`, else of the last one (l = 1); frames.
        """
        config = self.config
        lengths = lengths if self.masked else jnp.full_like(lengths, wave.shape[1])
        output = self.trunk(
            unit_variance(wave, lengths) if self.normalize else wave,
            lengths,
            None if config.frozen == "trunk" else key,
            padding=config.padding,
            frozen_layers=config.frozen_layers if config.frozen == "layers" else None,
            remat=config.remat,
        )
        states = output.hidden_states if config.weighted_layers else output.hidden_states[-1:]
        return jnp.stack(states, axis=1), output.lengths

    def __call__(
        self, wave: Float[Array, "b t"], lengths: Int[Array, "b"], key: PRNGKeyArray | None = None
    ) -> Float[Array, "b c"]:
        """Return the logits; a key means training (SpecAugment, dropout, layerdrop), None evaluation."""
        trunk, head = split(key, 2)
        return self.head(*self.features(wave, lengths, trunk), head)


def training_config(encoder: EncoderConfig, model: ModelConfig) -> EncoderConfig:
    """Return the encoder's configuration with the experiment's overrides of masks and layerdrop."""

    def chosen(override: float | None, own: float) -> float:
        return override if override is not None else own if encoder.apply_spec_augment else 0.0

    return replace(
        encoder,
        apply_spec_augment=True,
        mask_time_prob=chosen(model.mask_time_prob, encoder.mask_time_prob),
        mask_feature_prob=chosen(model.mask_feature_prob, encoder.mask_feature_prob),
        layerdrop=encoder.layerdrop if model.layerdrop is None else model.layerdrop,
    )


def is_frozen(path: tuple[str | int, ...], model: ModelConfig, encoder: EncoderConfig) -> bool:
    """Say whether training leaves a parameter of a `Classifier` alone.

    freeze=layers freezes all that the first `frozen_layers` transformer layers build upon: the mask embedding, the
    convolutions, the projection, and the encoder's norm where it stands before the layers.

    Args:
        path: Where the parameter stands in the model's state, such as ("trunk", "encoder", "layers", 0, ...).
        model: The experiment's model.
        encoder: The trunk's layout.
    """
    match model.frozen, path:
        case "cnn", ("trunk", "feature_extractor", *_):
            return True
        case "layers", ("trunk", "encoder", "layers", index, *_):
            return int(index) < model.frozen_layers
        case "layers", ("trunk", "encoder", "layer_norm", *_):
            return not encoder.do_stable_layer_norm
        case (("layers" | "trunk"), ("trunk", *_)):
            return True
    return False
