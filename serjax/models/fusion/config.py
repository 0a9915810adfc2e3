"""Settings of fusion of sound and video."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import pydantic
from annotated_types import Ge, Le

from serjax.models.adapter_config import AdapterConfig
from serjax.models.base import Augmentation, Checkpoint, DType, Modality, Model, Path, Resolution, Standardized
from serjax.models.spectrogram import Spectrogram
from serjax.models.speech import Speech
from serjax.models.video import branch_checkpoints, describe_branch, standardized_branch
from serjax.runtime.constraints import Layers, NotNegative, Rate, Width
from serjax.runtime.errors import UserError
from serjax.video.config import STAGES, VideoConfig

if TYPE_CHECKING:
    from flax import nnx

    from serjax.models.fusion.model import FusionModel

Kind = Literal["late", "concat", "gated", "xattn"]
AudioBranch = Annotated[Speech | Spectrogram, pydantic.Field(discriminator="family")]

RATE_PATTERNS = {
    "encoder": r"audio\.speech_encoder\..*",
    "head": r"fusion\..*|audio\.head\..*|audio\.network\.fc2\..*|video\.fc\..*",
    "audio": r"audio\.(?!speech_encoder\.|head\.|network\.fc2\.).*",
    "video": r"video\.(?!fc\.).*",
}
"""Regular expressions of parameters' names by the rate that they follow; one matches each in full.

head: the fusion, and the last layers of the branches; audio: a network on spectrograms; video: the ResNet; encoder:
WavLM.
"""


@dataclass(frozen=True)
class Fusion(Model):
    """Fusion of sound and video."""

    modalities: ClassVar[frozenset[Modality]] = frozenset({"sound", "video"})
    augmentations: ClassVar[frozenset[str]] = frozenset({"waves", "channel", "mel_masks"})

    family: Literal["fusion"] = "fusion"
    """Sound and video."""
    kind: Kind = "gated"
    """late: probabilities are averaged. concat: projections side by side. gated: projections, weighted against each
    other. xattn: cross-attention of frames of video and frames of sound, both ways."""
    audio: AudioBranch = field(default_factory=lambda: Spectrogram(family="audio_resnet18"))
    """Network on sound: audio_cnn, audio_resnet18 or wavlm."""
    video: VideoConfig = field(default_factory=VideoConfig)
    """Frames, faces and augmentation."""
    common: Width = 256
    """concat, gated: width of the projections and of the head's hidden layer."""
    dropout: Rate = 0.2
    """Dropout in the heads of concat and gated, and in WavLM's own."""
    modality_dropout: Annotated[float, Ge(0), Le(0.5)] | None = None
    """Probability that training hides a clip's sound, and as much that it hides its video; never both. By default 0.2
    for gated and 0 for the others. late does without: it averages what there is."""
    head: Literal["concat", "gated"] = "concat"
    """xattn: both means side by side, or weighted against each other."""
    audio_path: Literal["sequence", "conv"] = "sequence"
    """xattn: keys and values of sound: the network's output frames, or a convolution over its input (WavLM: over its
    output)."""
    d_model: Width = 128
    """xattn: width of the attention."""
    heads: Width = 4
    """xattn: attention heads."""
    attention_dropout: Rate = 0.1
    """xattn: dropout of attention weights."""
    stochastic_depth: Rate = 0.1
    """xattn: probability that training leaves out a clip's attention."""
    audio_layers: Layers | None = None
    """Train so many of WavLM's last layers, or 0 of any audio network but its last Linear layers; by default all."""
    video_blocks: Annotated[int, Ge(0), Le(STAGES)] | None = None
    """Train so many of the ResNet's four last stages, and no more of it; by default all."""
    head_rate: NotNegative = 1.0
    """Factor of the learning rate of the fusion and of the branches' last layers."""
    audio_rate: NotNegative = 1.0
    """Factor of the rest of an audio network."""
    video_rate: NotNegative = 1.0
    """Factor of the ResNet."""
    encoder_rate: NotNegative = 1.0
    """Factor of WavLM."""
    dtype: DType = "float32"
    """Precision of the forward and backward pass; weights and optimizer stay float32."""

    @property
    def modality_dropout_rate(self) -> float:
        """Probability that training hides either modality, by default that of the kind."""
        if self.modality_dropout is not None:
            return self.modality_dropout
        return 0.2 if self.kind == "gated" else 0.0

    @property
    def handles_missing(self) -> bool:  # type: ignore[override]
        """True where training has met clips without sound or without video, so that prediction may."""
        return self.kind == "late" or self.modality_dropout_rate > 0

    @property
    def two_stages(self) -> bool:  # type: ignore[override]
        """True where heads can be trained first: not on a WavLM of random weights."""
        return not isinstance(self.audio, Speech) or self.audio.size is None

    @property
    def branch(self) -> Speech | Spectrogram:
        """Settings of the audio branch as the fusion trains it: WavLM's head and freezing are the fusion's."""
        if not isinstance(self.audio, Speech):
            return self.audio
        config, layers = self.audio.encoder.config, self.audio_layers
        return replace(
            self.audio,
            pooling="mean",
            head="relu",
            head_size=config.hidden_size,
            dropout=self.dropout,
            freeze="nothing" if layers is None else "layers" if layers else "encoder",
            frozen_layers=config.num_hidden_layers - layers if layers else 0,
        )

    @property
    def min_samples(self) -> int:
        """That of the audio branch."""
        return self.audio.min_samples

    @property
    def max_samples(self) -> int | None:
        """That of the audio branch."""
        return self.audio.max_samples

    @property
    def description(self) -> str:
        """Kind of fusion and names of both branches."""
        return f"{self.kind} fusion of {self.audio.family} and {describe_branch(self.video)}"

    @property
    def standardized(self) -> tuple[Standardized, ...]:
        """Those of both branches."""
        audio = tuple(one._replace(path=("audio", *one.path)) for one in self.audio.standardized)
        return (*audio, *standardized_branch(self.video))

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Those of both branches."""
        audio = tuple(one._replace(prefix=f"audio.{one.prefix}") for one in self.audio.checkpoints)
        return (*audio, *branch_checkpoints(self.video))

    @property
    def rate_groups(self) -> tuple[tuple[str, float], ...]:
        """Patterns of the parameters whose rate is not the others', with its factor."""
        factors = {name: getattr(self, f"{name}_rate") for name in RATE_PATTERNS}
        return tuple((RATE_PATTERNS[name], factor) for name, factor in factors.items() if factor != 1)

    @property
    def encoder_settings(self) -> Speech | None:
        """WavLM's settings, where it is the audio branch."""
        return self.audio if isinstance(self.audio, Speech) else None

    def resolved(self, resolution: Resolution) -> Self:
        """Return the settings with those of both branches resolved."""
        video = replace(self.video, num_face_features=resolution.num_face_features)
        return replace(self, audio=self.audio.resolved(resolution), video=video)

    def build(self, num_classes: int, *, augmentation: Augmentation | None = None, rngs: "nnx.Rngs") -> "FusionModel":
        """Return the model with random weights.

        Raises:
            UserError: WavLM has fewer layers than are to be trained, or the checkpoint is none of WavLM.
        """
        from serjax.models.fusion.model import FusionModel

        self.check_encoder()
        return FusionModel(self, num_classes, augmentation, rngs=rngs)

    def trainable(self, path: Path) -> bool:
        """Return whether training changes a parameter or a statistic.

        The last layers of both branches are always trained, and standardisation is every fold's own. Of a WavLM with
        adapters these are trained, and the rest of it is frozen. Without encoders
        (`heads_only`) that leaves them and the fusion; with `audio_layers=2, video_blocks=1` WavLM's last two layers
        and the ResNet's last stage come in addition.
        """
        match path:
            case ("banks", *_):
                return False
            case ("audio", "network", part, *_):
                return self.audio_layers != 0 or part == "fc2"
            case ("audio", *rest):
                return self.branch.trainable(tuple(rest))
            case ("video", "resnet", part, *_) if self.video_blocks is not None:
                return part in {f"layer{STAGES - block}" for block in range(self.video_blocks)}
        return True

    def heads_only(self) -> Self:
        """Return the settings with both encoders frozen, whose heads alone are trained, at a rate of their own."""
        rates = {f"{name}_rate": 1.0 for name in RATE_PATTERNS}
        audio = replace(self.audio, adapter=AdapterConfig()) if isinstance(self.audio, Speech) else self.audio
        return replace(self, audio=audio, audio_layers=0, video_blocks=0, **rates)  # type: ignore[arg-type]

    def check(self) -> None:
        """Refuse combinations that cannot be.

        Raises:
            UserError: names the field.
        """
        wavlm, trained = isinstance(self.audio, Speech), self.audio_layers != 0
        if self.audio.family not in ("audio_cnn", "audio_resnet18", "wavlm"):
            raise UserError(
                f"model.audio.family is {self.audio.family}; a fusion takes audio_cnn, audio_resnet18 or wavlm."
            )
        for name in _OWN:
            if wavlm and getattr(self.audio, name) != getattr(_PLAIN, name):
                raise UserError(f"model.audio.{name} is given, but a fusion decides it itself; leave it out.")
        if isinstance(self.audio, Speech) and self.audio.adapter.encode_once:
            raise UserError(
                "model.audio.adapter.encode_once is given, but a fusion encodes each clip anew, beside its video; "
                "leave it out."
            )
        if isinstance(self.audio, Speech) and self.audio.adapter.given and self.audio_layers is not None:
            raise UserError(
                f"model.audio_layers is {self.audio_layers}, but with model.audio.adapter all of WavLM but its "
                "adapters is frozen; leave one of them out."
            )
        if self.d_model % self.heads:
            raise UserError(f"model.d_model is {self.d_model}; it must be a multiple of model.heads ({self.heads}).")
        if not wavlm and self.audio_layers not in (None, 0):
            raise UserError(
                f"model.audio_layers is {self.audio_layers}, but {self.audio.family} is trained as a whole or, with 0, "
                "not; give 0, or leave it out."
            )
        for name, rate, some in (
            ("audio_rate", self.audio_rate, trained and not wavlm),
            ("encoder_rate", self.encoder_rate, trained and wavlm),
            ("video_rate", self.video_rate, self.video_blocks != 0),
        ):
            if rate != 1 and not some:
                raise UserError(f"model.{name} is {rate:g}, but nothing is trained at it; leave it out.")

    def check_encoder(self) -> None:
        """See that the audio branch's encoder is a WavLM, with as many layers as are to be trained.

        Raises:
            UserError: it is not.
        """
        if not isinstance(self.audio, Speech):
            return
        config = self.audio.encoder.config
        if config.model_type != "wavlm":
            raise UserError(
                f"model.audio.family is wavlm, but the checkpoint holds {config.model_type}; give a WavLM checkpoint."
            )
        if self.audio_layers is not None and self.audio_layers > config.num_hidden_layers:
            raise UserError(
                f"model.audio_layers is {self.audio_layers}; it must be from 0 to {config.num_hidden_layers}."
            )


_PLAIN = Speech(family="wavlm")
_OWN = (
    *("pooling", "head", "head_size", "dropout", "final_dropout", "state_norm", "weighted_layers"),
    *("layer", "freeze", "frozen_layers"),
)
"""Settings of WavLM that a fusion decides."""
