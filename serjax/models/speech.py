"""Speech encoder, pooling and head: from waveforms to logits, with fine-tuning of any part of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Self

import jax
import jax.numpy as jnp
import tyro
from flax import nnx
from jax import lax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from serjax.audio import SAMPLE_RATE
from serjax.models.base import Augmentation, Checkpoint, EncoderLayout, Model, Path, Resolution
from serjax.models.encoders.build import build_encoder
from serjax.models.encoders.config import EncoderConfig, Size, frame_hop, receptive_field
from serjax.models.encoders.families import EncoderFamily
from serjax.models.functional import DType
from serjax.models.inputs import Inputs
from serjax.models.layers.activations import dropout, split
from serjax.models.layers.heads import LinearHead, NormHead
from serjax.models.layers.pooling import AttentivePooling, TanhAttention, masked_mean, masked_mean_and_deviation
from serjax.models.layers.standardize import unit_variance
from serjax.runtime.constraints import AtLeastOne, Count, Rate, Share
from serjax.runtime.errors import UserError


@dataclass(frozen=True)
class Speech(Model):
    """Speech encoder, pooling and head."""

    family: EncoderFamily = "hubert"
    """Architecture to build when `size` is given; a checkpoint says it itself."""
    checkpoint: str | None = None
    """Hugging Face directory or hub id of pretrained weights; or a finished run."""
    size: Size | None = None
    """Start from random weights of this size; wins over `checkpoint`."""
    pooling: Literal["mean", "stat", "attentive", "tanh_attention"] = "attentive"
    """Pooling over frames: mean, mean and standard deviation, or a mean with learned weights: softmax over time of two
    layers (attentive) or of tanh(x . w) (tanh_attention)."""
    attention_size: AtLeastOne = 128
    """Width of attentive pooling's hidden layer."""
    head: Literal["layernorm_gelu", "layernorm_relu", "relu", "linear"] = "layernorm_relu"
    """LayerNorm, Linear, GELU or ReLU, Dropout, Linear; relu: the same without LayerNorm; or one Linear layer."""
    head_size: AtLeastOne = 256
    """Width of the head's hidden layer."""
    dropout: Rate = 0.1
    """Dropout in the head."""
    final_dropout: Rate = 0.0
    """Dropout on the hidden states that are pooled."""
    weighted_layers: bool = False
    """Learn a softmax-weighted sum of the hidden states of all layers; otherwise the last layer is used."""
    freeze: Literal["auto", "nothing", "cnn", "layers", "encoder"] = "auto"
    """Frozen parts get no gradient and no dropout. auto: the CNN of a checkpoint, nothing of random weights. encoder:
    clips are encoded once and only heads are trained."""
    frozen_layers: Count = 0
    """freeze=layers: the CNN and this many transformer layers from the bottom are frozen."""
    mask_time_prob: Share | None = None
    """SpecAugment over time: share of frames masked in training; by default the checkpoint's own."""
    mask_feature_prob: Share | None = None
    """SpecAugment over features: share of features masked in training; by default the checkpoint's own."""
    layerdrop: Rate | None = None
    """Probability to skip a transformer layer in training; by default the checkpoint's own."""
    padding: Literal["exact", "transformers"] = "exact"
    """exact: padding changes nothing. transformers: group norm includes the padding, and where the checkpoint's
    preprocessor_config.json has no mask, so does all the rest, as `transformers` computes it."""
    remat: bool = False
    """Recompute transformer layers in the backward pass: less memory, about a third more time."""
    dtype: DType = "float32"
    """Precision of the forward and backward pass; weights and optimizer stay float32."""
    layout: tyro.conf.Suppress[EncoderLayout | None] = None
    """Layout of the encoder, which a run takes from `checkpoint` or `size`."""

    @property
    def frozen(self) -> Literal["nothing", "cnn", "layers", "encoder"]:
        """Frozen part, with auto resolved."""
        if self.freeze != "auto":
            return self.freeze
        return "cnn" if self.size is None else "nothing"

    @property
    def frozen_encoder(self) -> bool:  # type: ignore[override]
        """True where hidden states are computed once and heads are all that is trained."""
        return self.frozen == "encoder"

    @property
    def pretrained(self) -> bool:  # type: ignore[override]
        """True where an encoder with published weights is trained."""
        return self.size is None and not self.frozen_encoder

    @property
    def two_stages(self) -> bool:  # type: ignore[override]
        """True where the head can be trained first, on the frozen encoder."""
        return self.pretrained

    @property
    def augmentations(self) -> frozenset[str]:  # type: ignore[override]
        """Mixup of waves, where the encoder is trained."""
        return frozenset() if self.frozen_encoder else frozenset({"mixup"})

    @property
    def encoder(self) -> EncoderLayout:
        """Layout of the encoder, which must be resolved."""
        assert self.layout is not None, "resolve the settings first"
        return self.layout

    @property
    def min_samples(self) -> int:
        """Receptive field of one frame."""
        return receptive_field(self.encoder.config)

    @property
    def description(self) -> str:
        """Architecture of the encoder."""
        return self.family if self.layout is None else self.layout.config.model_type

    @property
    def summary(self) -> str:
        """Sentence for reports on the encoder, its start, head and frozen parts."""
        start = f"random weights of size {self.size}" if self.size else f"`{self.checkpoint}`"
        frozen = f"{self.frozen_layers} layers" if self.frozen == "layers" else self.frozen
        head = f"pooling {self.pooling}, head {self.head}; frozen: {frozen}"
        return f"Encoder: {self.description} from {start}; {head}"

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """The encoder's, where it does not start from random weights."""
        if self.size is not None or self.checkpoint is None:
            return ()
        return (Checkpoint("encoder", self.checkpoint, "speech_encoder."),)

    @property
    def encoder_settings(self) -> "Speech":
        """These settings."""
        return self

    def resolved(self, resolution: Resolution) -> Self:
        """Return the settings with the encoder's layout."""
        return replace(self, layout=resolution.layout)

    def build(
        self, num_classes: int, *, augmentation: Augmentation | None = None, rngs: nnx.Rngs
    ) -> "SpeechClassifier":
        """Return the classifier with random weights; waves are not augmented.

        Raises:
            UserError: more layers are to be frozen than there are.
        """
        return SpeechClassifier(self, num_classes, rngs=rngs)

    def trainable(self, path: Path) -> bool:
        """Return whether training changes a parameter of a `SpeechClassifier`.

        freeze=layers freezes all that the first `frozen_layers` transformer layers build upon: the mask embedding, the
        convolutions, the projection, and the encoder's norm where it stands before the layers.
        """
        match self.frozen, path:
            case "cnn", ("speech_encoder", "feature_extractor", *_):
                return False
            case "layers", ("speech_encoder", "encoder", "layers", index, *_):
                return int(index) >= self.frozen_layers
            case "layers", ("speech_encoder", "encoder", "layer_norm", *_):
                return self.encoder.config.do_stable_layer_norm
            case (("layers" | "encoder"), ("speech_encoder", *_)):
                return False
        return True

    def heads_only(self) -> Self:
        """Return the settings with the whole encoder frozen."""
        return replace(self, freeze="encoder")


class SpeechClassifier(nnx.Module):
    """A speech encoder and its head."""

    def __init__(self, config: Speech, num_classes: int, *, rngs: nnx.Rngs):
        """Build the model with random weights.

        Args:
            config: Pooling, head, freezing, padding and the encoder's layout, to which its overrides are applied.
            num_classes: Number of classes.
            rngs: Source of the weights.

        Raises:
            UserError: more layers are to be frozen than there are.
        """
        encoder = config.encoder.config
        if config.frozen == "layers" and config.frozen_layers > encoder.num_hidden_layers:
            raise UserError(
                f"--model.frozen-layers {config.frozen_layers}: the encoder has {encoder.num_hidden_layers} layers; "
                "give at most that many."
            )
        self.config = config
        self.attention_mask = config.encoder.attention_mask or config.padding == "exact"
        self.speech_encoder = build_encoder(training_config(encoder, config), rngs=rngs)
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
            Hidden states of all layers with `weighted_layers`, else of the last one (l = 1); frames.
        """
        config = self.config
        lengths = lengths if self.attention_mask else jnp.full_like(lengths, wave.shape[1])
        hidden = self.speech_encoder(
            unit_variance(wave, lengths) if config.encoder.normalize else wave,
            lengths,
            None if config.frozen_encoder else key,
            padding=config.padding,
            frozen_layers=config.frozen_layers if config.frozen == "layers" else None,
            remat=config.remat,
        )
        states = hidden.hidden_states if config.weighted_layers else hidden.hidden_states[-1:]
        return jnp.stack(states, axis=1), hidden.lengths

    def __call__(
        self, inputs: Inputs, key: PRNGKeyArray | None = None, weight: Float[Array, "b"] | None = None
    ) -> Float[Array, "b c"]:
        """Return the logits.

        Args:
            inputs: Waves, or the hidden states that `features` made of them.
            key: Random key of training (SpecAugment, dropout, layerdrop); None for evaluation.
            weight: Not used: no row depends on another.
        """
        if inputs.hidden_states is not None and inputs.hidden_lengths is not None:
            return self.head(inputs.hidden_states, inputs.hidden_lengths, key)
        encoder, head = split(key, 2)
        return self.head(*self.features(*inputs.sound, encoder), head)

    @property
    def widths(self) -> tuple[int, int]:
        """Width of a frame before and after the network, for fusion: both the encoder's."""
        return (self.config.encoder.config.hidden_size,) * 2

    def seconds_per_frame(self, *, raw: bool) -> float:
        """Return the seconds from one frame of `sequence` to the next."""
        return frame_hop(self.config.encoder.config) / SAMPLE_RATE

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


def build_head(config: Speech, num_classes: int, *, rngs: nnx.Rngs) -> "Head":
    """Return the head of a `SpeechClassifier` with random weights."""
    encoder = config.encoder.config
    layers = encoder.num_hidden_layers + 1 if config.weighted_layers else 1
    return Head(config, layers, encoder.hidden_size, num_classes, rngs=rngs)


class Head(nnx.Module):
    """Layers above the encoder: a learned sum of layers (if asked for), dropout, pooling, classification."""

    def __init__(self, config: Speech, layers: int, features: int, classes: int, *, rngs: nnx.Rngs):
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
    config: Speech, features: int, rngs: nnx.Rngs
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


def _classifier(config: Speech, pooled: int, classes: int, rngs: nnx.Rngs) -> NormHead | LinearHead:
    match config.head:
        case "linear":
            return LinearHead(pooled, classes, config.dropout, rngs=rngs)
        case "layernorm_gelu":
            return NormHead(pooled, config.head_size, classes, "gelu", config.dropout, rngs=rngs)
        case "layernorm_relu" | "relu":
            norm = config.head == "layernorm_relu"
            return NormHead(pooled, config.head_size, classes, "relu", config.dropout, norm=norm, rngs=rngs)


def training_config(encoder: EncoderConfig, model: Speech) -> EncoderConfig:
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
