"""Model settings: the properties that every family of models has."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, Self

from serjax.audio.config import AugmentConfig
from serjax.models.adapter_config import AdapterConfig
from serjax.models.encoders.base import Size
from serjax.models.encoders.config import EncoderConfig
from serjax.models.encoders.families import EncoderFamily

if TYPE_CHECKING:
    from flax import nnx

DType = Literal["float32", "bfloat16"]
"""Precision of the computation; weights are stored, and trained, in float32."""

PadMode = Literal["zeros", "repeat"]
"""Padding of a clip that is shorter than a network's input: zeros, or the clip again."""


@dataclass(frozen=True)
class EncoderLayout:
    """Layout of a checkpoint's encoder, and how its input is prepared.

    Attributes:
        config: of the encoder.
        normalize: bring each clip to zero mean and unit variance first, as the checkpoint's preprocessor_config.json
            says (`do_normalize`).
        attention_mask: with padding="transformers", whether padding is hidden from the encoder, as its
            `return_attention_mask` says; otherwise it counts as part of the clip, as in transformers.
    """

    config: EncoderConfig
    normalize: bool = False
    attention_mask: bool = True


Modality = Literal["sound", "video"]
Path = tuple[str | int, ...]
"""Place of a parameter in a model's state, such as ("speech_encoder", "encoder", "layers", 0, "attention")."""


class Checkpoint(NamedTuple):
    """Published weights that a part of a model starts from.

    Attributes:
        kind: how they are read.
        source: Hugging Face directory, hub id or file.
        prefix: of the part's names in the model, such as `video.resnet.`.
    """

    kind: Literal["encoder", "efficientnet", "resnet"]
    source: str
    prefix: str


class Standardized(NamedTuple):
    """Features that a model standardises by their moments over a fold's training clips.

    Attributes:
        path: of the module that holds mean and deviation.
        features: makes the features from waves; None for the face features that the clips come with.
    """

    path: tuple[str, ...]
    features: "nnx.Module | None"


@dataclass(frozen=True)
class Augmentation:
    """Augmentation that a model applies in training.

    Attributes:
        config: of sound.
        recordings: shapes [m s] of the noise and of the room impulse responses that are mixed in, by name.
    """

    config: AugmentConfig = field(default_factory=AugmentConfig)
    recordings: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


class EncoderSettings(Protocol):
    """Settings of a speech encoder, alone or in a branch."""

    @property
    def family(self) -> EncoderFamily:
        """Architecture to build where no checkpoint says it."""

    @property
    def size(self) -> Size | None:
        """Size of random weights."""

    @property
    def checkpoint(self) -> str | None:
        """Pretrained weights."""

    @property
    def adapter(self) -> AdapterConfig:
        """Adapters in it."""

    @property
    def encoder(self) -> EncoderLayout:
        """Layout, once resolved."""


class Resolution(NamedTuple):
    """Facts that a run finds out for its model.

    Attributes:
        seconds: length of the input, in s.
        layout: of the checkpoint's speech encoder.
        num_face_features: length of a clip's vector of face features.
        adapter: settings of the adapter that a checkpoint has.
    """

    seconds: float
    layout: EncoderLayout | None = None
    num_face_features: int | None = None
    adapter: AdapterConfig | None = None


class Model:
    """Base of model settings: frozen dataclasses with a field `family`, which build, freeze and describe themselves."""

    modalities: ClassVar[frozenset[Modality]] = frozenset({"sound"})
    frozen_encoder: bool = False
    """True where hidden states of the clips are computed once and heads are all that is trained."""
    encoded_once: bool = False
    """True where clips are read once, for all folds and epochs, as far as all folds have the encoder in common."""
    handles_missing: bool = False
    """True where a clip may lack one of several modalities."""
    augmentations: ClassVar[frozenset[str]] = frozenset()
    """Kinds of augmentation that apply: waves, channel, mel_masks, mixup, mixup_of features."""
    two_stages: bool = False
    """True where heads can be trained first, on frozen encoders."""
    pretrained: bool = False
    """True where an encoder with published weights is trained, which takes a lower learning rate."""

    video: Any = None
    """Settings of video, where the model takes it."""

    @property
    def encoder_settings(self) -> EncoderSettings | None:
        """Settings of the speech encoder, where there is one: the model's own, or those of a branch."""
        return None

    def resolved(self, resolution: "Resolution") -> Self:
        """Return the settings with all that they leave to the run, so that they can be built."""
        raise NotImplementedError  # each family has its own

    def build(self, num_classes: int, *, augmentation: Augmentation | None = None, rngs: "nnx.Rngs") -> "nnx.Module":
        """Return the model with random weights; resolved settings only (see `runs.setup`)."""
        raise NotImplementedError  # each family has its own

    @property
    def required(self) -> frozenset[Modality]:
        """Modalities that a clip must have."""
        return frozenset() if self.handles_missing else self.modalities

    @property
    def min_samples(self) -> int:
        """Fewest samples at 16 kHz of a clip's sound; 0 for models that take no sound."""
        return 0

    @property
    def max_samples(self) -> int | None:
        """Most samples at 16 kHz of a clip's sound; None: any number."""
        return None

    @property
    def description(self) -> str:
        """Name of the model for reports."""
        return str(getattr(self, "family"))  # noqa: B009

    @property
    def summary(self) -> str:
        """Sentence for reports on the model and its start."""
        sources = [f"`{one.source}`" for one in self.checkpoints] or ["random weights"]
        return f"Network: {self.description} from {' and '.join(sources)}"

    @property
    def standardized(self) -> tuple[Standardized, ...]:
        """Features that are standardised over a fold's training clips."""
        return ()

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Published weights that parts start from."""
        return ()

    @property
    def rate_groups(self) -> tuple[tuple[str, float], ...]:
        """Factors of the learning rate by regular expression, beside those of the optimizer's settings."""
        return ()

    def trainable(self, path: Path) -> bool:
        """Return whether training changes the parameter or statistic at a path of the model's state."""
        return path[0] != "banks"

    def heads_only(self) -> Self:
        """Return the settings of a first stage, which trains heads on frozen encoders."""
        raise NotImplementedError  # of the families with encoders
