"""Settings of a speech encoder, its pooling and its head, with fine-tuning of any part of it."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Literal, Self

import tyro
from annotated_types import Ge, Lt

from serjax.models.adapter_config import PARTS, AdapterConfig
from serjax.models.base import Augmentation, Checkpoint, DType, EncoderLayout, Model, Path, Resolution
from serjax.models.encoders.base import Size
from serjax.models.encoders.families import EncoderFamily
from serjax.runtime.constraints import Count, Rate, Share, Width
from serjax.runtime.errors import UserError

if TYPE_CHECKING:
    from flax import nnx

    from serjax.models.classifiers.speech import SpeechClassifier


@dataclass(frozen=True)
class Speech(Model):
    """Speech encoder, pooling and head."""

    family: EncoderFamily = "hubert"
    """Architecture to build when `size` is given; a checkpoint says it itself."""
    checkpoint: str | None = None
    """Hugging Face directory or hub id of pretrained weights; or a finished run."""
    size: Size | None = None
    """Start from random weights of this size; wins over `checkpoint`."""
    pooling: Literal["mean", "stat", "attentive", "attentive_stat", "tanh_attention"] = "attentive"
    """Pooling over frames: mean, mean and standard deviation, or a mean with learned weights: softmax over time of two
    layers (attentive; attentive_stat with the standard deviation) or of tanh(x . w) (tanh_attention)."""
    attention_size: Width = 128
    """Width of attentive pooling's hidden layer."""
    head: Literal["layernorm_gelu", "layernorm_relu", "relu", "projector", "linear", "frame_relu"] = "layernorm_relu"
    """LayerNorm, Linear, GELU or ReLU, Dropout, Linear; relu: without LayerNorm; projector: without both, which after
    mean pooling is the head of transformers; one Linear layer; or frame_relu: Linear and ReLU on each frame before the
    pooling and one Linear layer after it, which with mean pooling is the head of EmoBox."""
    head_size: Width = 256
    """Width of the head's hidden layer."""
    dropout: Rate = 0.1
    """Dropout in the head."""
    final_dropout: Rate = 0.0
    """Dropout on the hidden states that are pooled."""
    state_norm: bool = False
    """Bring the hidden states of each clip to zero mean and unit variance over all frames and features, as EmoBox
    does."""
    weighted_layers: bool = False
    """Learn a softmax-weighted sum of the hidden states of all layers; otherwise the last layer is used."""
    layer: Annotated[int, Ge(-(2**31)), Lt(2**31)] | None = None
    """Use the hidden states of this layer, counted as transformers does: 0 is the first block's input, 9 the output of
    the ninth, -1 that of the last. Blocks above it are left as they are, without adapters. By default the last layer is
    used."""
    freeze: Literal["auto", "nothing", "cnn", "layers", "encoder"] = "auto"
    """Frozen parts get no gradient and no dropout. auto: the CNN of a checkpoint, nothing of random weights. encoder:
    clips are encoded once and only heads are trained."""
    frozen_layers: Count = 0
    """freeze=layers: the CNN and this many transformer layers from the bottom are frozen."""
    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    """Adapters: few weights that are trained in a frozen encoder, which all folds, seeds and learning rates share."""
    mask_time_prob: Share | None = None
    """SpecAugment over time: share of frames masked in training; by default the checkpoint's own."""
    mask_feature_prob: Share | None = None
    """SpecAugment over features: share of features masked in training; by default the checkpoint's own."""
    layerdrop: Rate | None = None
    """Probability to skip a transformer layer in training; by default the checkpoint's own."""
    padding: Literal["exact", "transformers"] = "exact"
    """exact: padding changes nothing. transformers: group norm includes the padding, and where the checkpoint's
    preprocessor_config.json has no mask, so does all the rest, as `transformers` computes it. Whisper's clips are then
    padded to 30 s, as its authors do; exact encodes their own length, at about a tenth of the time for 3 s."""
    remat: bool = False
    """Recompute transformer layers in the backward pass: less memory, about a third more time."""
    dtype: DType = "float32"
    """Precision of the forward and backward pass; weights and optimizer stay float32."""
    layout: tyro.conf.Suppress[EncoderLayout | None] = None
    """Layout of the encoder, which a run takes from `checkpoint` or `size`."""

    @property
    def frozen(self) -> Literal["nothing", "cnn", "layers", "encoder", "all but adapters"]:
        """Frozen part, with auto resolved."""
        if self.adapter.given:
            return "all but adapters"
        if self.freeze != "auto":
            return self.freeze
        return "cnn" if self.size is None else "nothing"

    @property
    def frozen_encoder(self) -> bool:  # type: ignore[override]
        """True where hidden states are computed once and heads are all that is trained."""
        return self.frozen == "encoder"

    @property
    def encoded_once(self) -> bool:  # type: ignore[override]
        """True where clips are encoded once, as far as the encoder is the same for all folds."""
        return self.frozen_encoder or self.adapter.encode_once

    @property
    def takes_mean_state(self) -> bool:
        """True where no more is needed of a frozen encoder's states than their mean over frames."""
        return (
            not self.adapter.encode_once
            and self.pooling == "mean"
            and self.head != "frame_relu"
            and not (self.final_dropout or self.state_norm)
        )

    @property
    def pretrained(self) -> bool:  # type: ignore[override]
        """True where an encoder with published weights is trained."""
        return self.size is None and self.frozen not in ("encoder", "all but adapters")

    @property
    def two_stages(self) -> bool:  # type: ignore[override]
        """True where the head can be trained first, on the frozen encoder."""
        return self.size is None and not self.frozen_encoder

    @property
    def augmentations(self) -> frozenset[str]:  # type: ignore[override]
        """Those of waves, where the encoder is trained."""
        return frozenset() if self.encoded_once else frozenset({"waves", "channel", "mixup"})

    @property
    def encoder(self) -> EncoderLayout:
        """Layout of the encoder, which must be resolved."""
        assert self.layout is not None, "resolve the settings first"
        return self.layout

    @property
    def top(self) -> int:
        """Number of the highest layer that the head takes.

        Raises:
            UserError: there is no such layer.
        """
        last = self.encoder.config.num_hidden_layers
        if self.layer is None:
            return last
        if not -last - 1 <= self.layer <= last:
            raise UserError(
                f"--model.layer {self.layer}: the encoder has layers 0 (the first block's input) to {last} (the last "
                f"block's output); give one of them, or {-last - 1} to -1 from the end."
            )
        return self.layer % (last + 1)

    @property
    def min_samples(self) -> int:
        """Those of the encoder's first frame."""
        return self.encoder.config.min_samples

    @property
    def max_samples(self) -> int | None:
        """Those that the encoder has positions for."""
        return self.encoder.config.max_samples

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
        kind = f" ({self.adapter.kind})" if self.adapter.kind != "none" else ""
        return f"Encoder: {self.description} from {start}; {head}{kind}"

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
        """Return the settings with the encoder's layout, and the layer as a number from 0, or None for the last.

        Raises:
            UserError: there is no such layer, or layers that run apart from what comes before them would hear padding.
        """
        found = replace(self, layout=resolution.layout, adapter=resolution.adapter or self.adapter)
        if found.layout is None:
            return found
        config = found.layout.config
        if found.adapter.encode_once and found.padding != "exact" and config.layers_hear_padding:
            raise UserError(
                "model.adapter.encode_once is given, but with model.padding transformers the layers of "
                f"{config.model_type} hear what follows a clip in its batch; leave one of them out."
            )
        if found.layer is None:
            return found
        return replace(found, layer=None if found.top == config.num_hidden_layers else found.top)

    def build(
        self, num_classes: int, *, augmentation: Augmentation | None = None, rngs: "nnx.Rngs"
    ) -> "SpeechClassifier":
        """Return the classifier with random weights.

        Raises:
            UserError: more layers are to be frozen than there are.
        """
        from serjax.models.classifiers.speech import SpeechClassifier

        return SpeechClassifier(self, num_classes, augmentation, rngs=rngs)

    def trainable(self, path: Path) -> bool:
        """Return whether training changes a parameter of a `SpeechClassifier`.

        freeze=layers freezes all that the first `frozen_layers` transformer layers build upon: the mask embedding, the
        convolutions, the projection, and the encoder's norm where it stands before the layers. What stands above
        `layer` stays as it is, too.
        """
        if self._above(path):
            return False
        match self.frozen, path:
            case _, ("banks", *_):
                return False
            case _, ("speech_encoder", *rest) if self.encoder.config.is_fixed(tuple(rest)):
                return False
            case "all but adapters", ("speech_encoder", *rest):
                return not PARTS.isdisjoint(rest)
            case "cnn", ("speech_encoder", *rest):
                return not self.encoder.config.is_stem(tuple(rest))
            case "layers", ("speech_encoder", "encoder", "layers", index, *_):
                return int(index) >= self.frozen_layers
            case "layers", ("speech_encoder", "encoder", "layer_norm", *_):
                return self.encoder.config.norm_first
            case "layers", ("speech_encoder", "encoder", "upsample", *_):
                return True
            case (("layers" | "encoder"), ("speech_encoder", *_)):
                return False
        return True

    def _above(self, path: Path) -> bool:
        """Return whether a parameter is of what stands above the layer that is used."""
        match path:
            case ("speech_encoder", "encoder", "layers", index, *_):
                return int(index) >= self.top
            case ("speech_encoder", "encoder", "layer_norm", *_):
                return self.encoder.config.norm_first and self.top < self.encoder.config.num_hidden_layers
            case ("speech_encoder", "encoder", "upsample", *_):
                return self.top < self.encoder.config.num_hidden_layers
        return False

    def heads_only(self) -> Self:
        """Return the settings with the whole encoder frozen."""
        return replace(self, freeze="encoder", adapter=AdapterConfig())

    def check(self) -> None:
        """Refuse settings that contradict each other.

        Raises:
            UserError: names them.
        """
        if self.layer is not None and self.weighted_layers:
            raise UserError(
                f"model.layer is {self.layer}, but model.weighted_layers sums all layers; leave out one of them."
            )
        if self.layer is not None and self.adapter.checkpoint is not None:
            raise UserError(
                f"model.layer is {self.layer}, but an adapter from model.adapter.checkpoint was trained below the last "
                "layer; leave out one of them."
            )
        if self.adapter.given and self.freeze != "auto":
            raise UserError(
                f"model.freeze is {self.freeze}, but with model.adapter all of the encoder but its adapters is frozen; "
                "leave one of them out."
            )
        masked = self.mask_time_prob or self.mask_feature_prob
        if self.adapter.encode_once and masked:
            raise UserError(
                "model.adapter.encode_once is given, but SpecAugment (mask_time_prob, mask_feature_prob) changes with "
                "each batch; leave one of them out."
            )
