"""Settings of fusion of sound and video."""

from dataclasses import dataclass, replace
from typing import Literal

from serjax.models.config import ModelConfig
from serjax.models.encoders.config import EncoderConfig
from serjax.models.networks.resnet import STAGES
from serjax.runtime.errors import UserError

FusionKind = Literal["late", "concat", "gated", "xattn"]


FusionAudio = Literal["audio_cnn", "audio_resnet18", "wavlm"]


@dataclass(frozen=True)
class FusionConfig:
    """How sound and video are joined."""

    kind: FusionKind = "gated"
    """late: probabilities are averaged. concat: projections side by side. gated: projections, weighted against each
    other. xattn: frames of video look at frames of sound, and these at those."""
    audio: FusionAudio = "audio_resnet18"
    """The network that hears."""
    common: int = 256
    """concat, gated: width of the projections and of the head's hidden layer."""
    dropout: float = 0.2
    """Dropout in the heads of concat and gated, and in WavLM's own."""
    modality_dropout: float | None = None
    """Probability that training hides a clip's sound, and as much that it hides its video; never both. By default 0.2
    for gated and 0 for the others. late does without: it averages what there is."""
    head: Literal["concat", "gated"] = "concat"
    """xattn: both means side by side, or weighted against each other."""
    audio_path: Literal["sequence", "conv"] = "sequence"
    """xattn: what is looked at of the sound: what the audio network makes of each stretch, or a convolution over its
    input (WavLM: over its output)."""
    d_model: int = 128
    """xattn: width of the attention."""
    heads: int = 4
    """xattn: attention heads."""
    attention_dropout: float = 0.1
    """xattn: dropout of attention weights."""
    stochastic_depth: float = 0.1
    """xattn: probability that training leaves out a clip's attention."""
    audio_layers: int | None = None
    """Train so many of WavLM's last layers, or 0 of any audio network but its last Linear layers; by default all."""
    video_blocks: int | None = None
    """Train so many of the ResNet's four last stages, and no more of it; by default all."""
    head_rate: float = 1.0
    """Factor of the learning rate of the fusion and of the branches' last layers."""
    audio_rate: float = 1.0
    """Factor of the rest of an audio network."""
    video_rate: float = 1.0
    """Factor of the ResNet."""
    trunk_rate: float = 1.0
    """Factor of WavLM."""

    @property
    def hidden(self) -> float:
        """The probability that training hides either modality."""
        if self.modality_dropout is not None:
            return self.modality_dropout
        return 0.2 if self.kind == "gated" else 0.0

    @property
    def copes(self) -> bool:
        """Whether training has met clips without sound or without video, so that prediction may."""
        return self.kind == "late" or self.hidden > 0


def check(config: FusionConfig) -> None:
    """Look for values that no fusion can have.

    Raises:
        UserError: names the first field that does not fit.
    """
    if config.d_model % config.heads:
        raise UserError(f"fusion.d_model is {config.d_model}; it must be a multiple of fusion.heads ({config.heads}).")
    if config.video_blocks is not None and not 0 <= config.video_blocks <= STAGES:
        raise UserError(f"fusion.video_blocks is {config.video_blocks}; it must be from 0 to {STAGES}.")
    if config.audio != "wavlm" and config.audio_layers not in (None, 0):
        raise UserError(
            f"fusion.audio_layers is {config.audio_layers}, but {config.audio} is trained as a whole or, with 0, not; "
            "give 0, or leave it out."
        )
    wavlm, hears = config.audio == "wavlm", config.audio_layers != 0
    for name, rate, trained in (
        ("audio_rate", config.audio_rate, hears and not wavlm),
        ("trunk_rate", config.trunk_rate, hears and wavlm),
        ("video_rate", config.video_rate, config.video_blocks != 0),
    ):
        if rate != 1 and not trained:
            raise UserError(f"fusion.{name} is {rate:g}, but nothing is trained at it; leave it out.")


def check_encoder(config: FusionConfig, encoder: EncoderConfig | None) -> None:
    """Look whether the encoder is what the fusion asks for.

    Raises:
        UserError: the fusion is of WavLM, and this is none, or has fewer layers than are to be trained.
    """
    if config.audio != "wavlm":
        return
    if encoder is None or encoder.model_type != "wavlm":
        found = "no encoder" if encoder is None else encoder.model_type
        raise UserError(f"fusion.audio is wavlm, but the checkpoint holds {found}; give a WavLM checkpoint.")
    layers = encoder.num_hidden_layers
    if config.audio_layers is not None and not 0 <= config.audio_layers <= layers:
        raise UserError(f"fusion.audio_layers is {config.audio_layers}; it must be from 0 to {layers}.")


def first_stage(config: FusionConfig) -> FusionConfig:
    """Return the fusion with both encoders frozen, whose heads alone are trained, at a rate of their own."""
    return replace(
        config, audio_layers=0, video_blocks=0, head_rate=1.0, audio_rate=1.0, video_rate=1.0, trunk_rate=1.0
    )


def trunk_model(config: FusionConfig, model: ModelConfig, encoder: EncoderConfig) -> ModelConfig:
    """Return WavLM with section D's head, frozen as the fusion says; padding, masks and remat are the experiment's."""
    layers = config.audio_layers
    return replace(
        model,
        family="wavlm",
        pooling="mean",
        weighted_layers=False,
        head="relu",
        head_size=encoder.hidden_size,
        dropout=config.dropout,
        freeze="nothing" if layers is None else "layers" if layers else "trunk",
        frozen_layers=encoder.num_hidden_layers - layers if layers else 0,
    )
