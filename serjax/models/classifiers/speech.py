"""Speech encoder, pooling and head: from waveforms to logits."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from serjax.audio import SAMPLE_RATE
from serjax.models.adapters import adapt, adapter_dropout, first_adapted
from serjax.models.base import Augmentation
from serjax.models.encoders.build import build_encoder
from serjax.models.front_end import Recordings, augmented
from serjax.models.inputs import Inputs
from serjax.models.layers.activations import dropout, split
from serjax.models.layers.heads import Activation, LinearHead, NormHead
from serjax.models.layers.pooling import (
    AttentivePooling,
    AttentiveStatistics,
    TanhAttention,
    masked_mean,
    masked_mean_and_deviation,
)
from serjax.models.layers.standardize import clip_norm, unit_variance
from serjax.models.speech import Speech
from serjax.runtime.errors import UserError


class SpeechClassifier(nnx.Module):
    """A speech encoder and its head."""

    def __init__(self, config: Speech, num_classes: int, augmentation: Augmentation | None = None, *, rngs: nnx.Rngs):
        """Build the model with random weights.

        Args:
            config: Pooling, head, freezing, padding and the encoder's layout, to which its overrides are applied.
            num_classes: Number of classes.
            augmentation: Of waves in training; None: nothing.
            rngs: Source of the weights.

        Raises:
            UserError: more layers are to be frozen than there are, or there is no such layer as is to be used.
        """
        encoder = config.encoder.config
        self.top = config.top
        if config.frozen == "layers" and config.frozen_layers > encoder.num_hidden_layers:
            raise UserError(
                f"--model.frozen-layers {config.frozen_layers}: the encoder has {encoder.num_hidden_layers} layers; "
                "give at most that many."
            )
        given = augmentation or Augmentation()
        self.config = config
        self.augmentation = given.config
        self.banks = nnx.Dict({name: Recordings(shape) for name, shape in given.recordings.items()})
        self.attention_mask = config.encoder.attention_mask or config.padding == "exact"
        trained = encoder.for_training(config.mask_time_prob, config.mask_feature_prob, config.layerdrop)
        self.speech_encoder = build_encoder(trained, rngs=rngs)
        self.frozen_layers = config.frozen_layers if config.frozen == "layers" else None
        if config.adapter.given:
            adapt(self.speech_encoder, config.adapter, top=config.top, rngs=rngs)
            self.frozen_layers = first_adapted(self.speech_encoder)
        self.head = build_head(config, num_classes, rngs=rngs)

    def features(
        self, wave: Float[Array, "b t"], lengths: Int[Array, "b"], key: PRNGKeyArray | None = None
    ) -> tuple[Float[Array, "b l n d"], Int[Array, "b"]]:
        """Return the hidden states that the head takes, and the number of true frames.

        Args:
            wave: Samples at 16 kHz, padded on the right.
            lengths: True number of samples of each clip.
            key: Random key of training; an encoder that is frozen as a whole does without.

        Returns:
            Hidden states of all layers with `weighted_layers`, else of `layer` or the last one (l = 1); frames.
        """
        config = self.config
        lengths = lengths if self.attention_mask else jnp.full_like(lengths, wave.shape[1])
        key = None if config.frozen_encoder else key
        with adapter_dropout(self.speech_encoder, _of_adapters(key)):
            hidden = self.speech_encoder(
                self._normalized(wave, lengths),
                lengths,
                key,
                padding=config.padding,
                frozen_layers=self.frozen_layers,
                remat=config.remat,
            )
        states = hidden.hidden_states if config.weighted_layers else hidden.hidden_states[self.top : self.top + 1]
        return jnp.stack(states, axis=1), hidden.lengths

    def shared_states(
        self, wave: Float[Array, "b t"], lengths: Int[Array, "b"]
    ) -> tuple[Float[Array, "b l n d"], Int[Array, "b"]]:
        """Return the states of a clip that are the same in all folds and epochs, and its number of true frames.

        Those are what the head takes of a frozen encoder; with adapters the input of the first adapted layer, and with
        `weighted_layers` the states before it, too. With adapters an encoder's extra tokens stand before the frames,
        and count as such.
        """
        if not self.config.adapter.encode_once:
            return self.features(wave, lengths)
        lengths = lengths if self.attention_mask else jnp.full_like(lengths, wave.shape[1])
        wave = self._normalized(wave, lengths)
        hidden = self.speech_encoder(wave, lengths, padding=self.config.padding)
        first = self._first()
        states = [hidden.whole(index) for index in range(0 if self.config.weighted_layers else first, first + 1)]
        return jnp.stack(states, axis=1), hidden.lengths + self.config.encoder.config.extra_tokens

    def _normalized(self, wave: Float[Array, "b t"], lengths: Int[Array, "b"]) -> Float[Array, "b t"]:
        encoder = self.config.encoder
        return unit_variance(wave, lengths, encoder.config.wave_epsilon) if encoder.normalize else wave

    def _first(self) -> int:
        if self.frozen_layers is None:
            raise UserError(
                "model.adapter.encode_once: a layer outside the transformer layers is adapted too, so that no part is "
                "known to be the same in all folds; leave it out, or give other targets."
            )
        return self.frozen_layers

    def _above(
        self, states: Float[Array, "b l m d"], frames: Int[Array, "b"], key: PRNGKeyArray | None
    ) -> tuple[Float[Array, "b k n d"], Int[Array, "b"]]:
        """Return the hidden states that the head takes, and true frames, from those of `shared_states`."""
        first, tokens = self._first(), self.config.encoder.config.extra_tokens
        frames = frames - tokens
        with adapter_dropout(self.speech_encoder, _of_adapters(key)):
            above = self.speech_encoder.above(states[:, -1], frames, key, first=first, remat=self.config.remat)
        if not self.config.weighted_layers:
            return above[self.top - first][:, None], frames
        return jnp.concatenate([states[:, :, tokens:], jnp.stack(above[1:], axis=1)], axis=1), frames

    def __call__(
        self, inputs: Inputs, key: PRNGKeyArray | None = None, weight: Float[Array, "b"] | None = None
    ) -> Float[Array, "b c"]:
        """Return the logits.

        Args:
            inputs: Waves, or the hidden states that `shared_states` made of them.
            key: Random key of training (augmentation, SpecAugment, dropout, layerdrop); None for evaluation.
            weight: Not used: no row depends on another.
        """
        stored, frames = inputs.hidden_states, inputs.hidden_lengths
        encoder, head = split(key, 2)
        if stored is not None and frames is not None:
            if not self.config.adapter.encode_once:
                return self.head(stored, frames, key)
            return self.head(*self._above(stored, frames, encoder), head)
        wave, lengths = inputs.sound
        if key is not None and self.augmentation.changes_waves:
            wave, lengths = augmented(wave, lengths, jax.random.fold_in(key, 2), self.augmentation, self.banks)
        return self.head(*self.features(wave, lengths, encoder), head)

    @property
    def widths(self) -> tuple[int, int]:
        """Width of a frame before and after the network, for fusion: both the encoder's."""
        return (self.config.encoder.config.hidden_size,) * 2

    def seconds_per_frame(self, *, raw: bool) -> float:
        """Return the seconds from one frame of `sequence` to the next."""
        return self.config.encoder.config.frame_hop / SAMPLE_RATE

    def sequence(
        self,
        wave: Float[Array, "b t"],
        lengths: Int[Array, "b"],
        key: PRNGKeyArray | None,
        weight: Float[Array, "b"] | None,
        *,
        raw: bool,
        frozen: bool,
    ) -> tuple[Float[Array, "b n d"], Int[Array, "b"]]:
        """Return the last layer's frames and how many are true, for fusion; `raw` makes no difference."""
        states, frames = self.features(wave, lengths, key)
        x = states[:, -1]
        return (lax.stop_gradient(x) if frozen else x), frames

    def vector(
        self,
        wave: Float[Array, "b t"],
        lengths: Int[Array, "b"],
        key: PRNGKeyArray | None,
        weight: Float[Array, "b"] | None,
        *,
        frozen: bool,
    ) -> Float[Array, "b d"]:
        """Return the mean of the last layer's frames, for fusion."""
        return masked_mean(*self.sequence(wave, lengths, key, weight, raw=False, frozen=frozen))

    def classify(self, vector: Float[Array, "b d"], key: PRNGKeyArray | None) -> Float[Array, "b c"]:
        """Return the logits of pooled vectors."""
        return self.head.classifier(vector, key)


def _of_adapters(key: PRNGKeyArray | None) -> PRNGKeyArray | None:
    return None if key is None else jax.random.fold_in(key, 1)


def build_head(config: Speech, num_classes: int, *, rngs: nnx.Rngs) -> "Head":
    """Return the head of a `SpeechClassifier` with random weights."""
    encoder = config.encoder.config
    layers = encoder.num_hidden_layers + 1 if config.weighted_layers else 1
    return Head(config, layers, encoder.hidden_size, num_classes, rngs=rngs)


class HeadAlone(nnx.Module):
    """A head that answers for stored hidden states; its parameters are called as in a `SpeechClassifier`."""

    def __init__(self, head: "Head") -> None:
        self.head = head

    def __call__(
        self, inputs: Inputs, key: PRNGKeyArray | None = None, weight: Float[Array, "b"] | None = None
    ) -> Float[Array, "b c"]:
        """Return the logits of hidden states, which must be there; see `SpeechClassifier`."""
        assert inputs.hidden_states is not None
        assert inputs.hidden_lengths is not None
        return self.head(inputs.hidden_states, inputs.hidden_lengths, key)


class Head(nnx.Module):
    """Layers above the encoder: a learned sum of layers (if asked for), dropout, pooling, classification."""

    def __init__(self, config: Speech, layers: int, features: int, classes: int, *, rngs: nnx.Rngs):
        """Build the head for hidden states [b, layers, n, features]; more than one layer means a learned sum."""
        self.layer_weights = nnx.Param(jnp.zeros(layers)) if config.weighted_layers else None
        self.final_dropout, self.state_norm = config.final_dropout, config.state_norm
        of_frames = config.head == "frame_relu"
        self.frame_layer = nnx.Linear(features, config.head_size, rngs=rngs) if of_frames else None
        features = config.head_size if of_frames else features
        self.pooling = _pooling(config, features, rngs)
        pooled = 2 * features if config.pooling in ("stat", "attentive_stat") else features
        self.classifier = _classifier(config, pooled, classes, rngs)

    def __call__(
        self, states: Float[Array, "b l n d"], frames: Int[Array, "b"], key: PRNGKeyArray | None = None
    ) -> Float[Array, "b c"]:
        """Return the logits of a batch of hidden states; without a key there is no dropout."""
        x = self._layers(states, frames)
        if self.final_dropout:
            before, key = split(key, 2)
            x = dropout(x, self.final_dropout, before)
        return self.classifier(self._pooled(x, frames), key)

    def hidden(self, states: Float[Array, "b l n d"], frames: Int[Array, "b"]) -> Float[Array, "b h"]:
        """Return the hidden layer of the classifier, which must have one, without any dropout."""
        assert isinstance(self.classifier, NormHead)
        return self.classifier.hidden(self._pooled(self._layers(states, frames), frames))

    def _pooled(self, x: Float[Array, "b n d"], frames: Int[Array, "b"]) -> Float[Array, "b p"]:
        """Return one vector a clip."""
        if self.frame_layer is not None:
            x = jax.nn.relu(self.frame_layer(x))
        return self.pooling(x, frames)

    def _layers(self, states: Float[Array, "b l n d"], frames: Int[Array, "b"]) -> Float[Array, "b n d"]:
        """Return the learned sum of layers, or the one that was given."""
        if self.state_norm:
            states = clip_norm(states, frames)
        if self.layer_weights is None:
            return states[:, -1]
        shares = jax.nn.softmax(self.layer_weights[...].astype(jnp.float32)).astype(states.dtype)
        # Terms one by one are a single loop over the states; einsum has XLA's CPU transpose them, forward and back.
        return sum((shares[i] * states[:, i] for i in range(1, len(shares))), start=shares[0] * states[:, 0])


def _pooling(
    config: Speech, features: int, rngs: nnx.Rngs
) -> Callable[[Float[Array, "b n d"], Int[Array, "b"]], Float[Array, "b p"]]:
    match config.pooling:
        case "mean":
            return masked_mean
        case "stat":
            return masked_mean_and_deviation
        case "attentive":
            return AttentivePooling(features, config.attention_size, rngs=rngs)
        case "attentive_stat":
            return AttentiveStatistics(features, config.attention_size, rngs=rngs)
        case "tanh_attention":
            return TanhAttention(features, rngs=rngs)


def _classifier(config: Speech, pooled: int, classes: int, rngs: nnx.Rngs) -> NormHead | LinearHead:
    kinds: dict[str, Activation] = {"layernorm_gelu": "gelu", "projector": "identity"}
    if config.head in ("linear", "frame_relu"):
        return LinearHead(pooled, classes, config.dropout, rngs=rngs)
    activation, norm = kinds.get(config.head, "relu"), config.head.startswith("layernorm")
    return NormHead(pooled, config.head_size, classes, activation, config.dropout, norm=norm, rngs=rngs)
