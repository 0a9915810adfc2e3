"""What a fusion of sound and video looks like, and which part of it is trained."""

from dataclasses import dataclass, replace
from typing import Literal

from serjax.config import ModelConfig
from serjax.errors import UserError
from serjax.models.encoder_config import EncoderConfig
from serjax.models.resnet import STAGES

Kind = Literal["late", "concat", "gated", "xattn"]
AudioFamily = Literal["audio_cnn", "audio_resnet18", "wavlm"]


@dataclass(frozen=True)
class FusionConfig:
    """How sound and video are joined."""

    kind: Kind = "gated"
    """late: probabilities are averaged. concat: projections side by side. gated: projections, weighted against each
    other. xattn: frames of video look at frames of sound, and these at those."""
    audio: AudioFamily = "audio_resnet18"
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


def check(config: FusionConfig, encoder: EncoderConfig | None = None) -> None:
    """Look for values that no fusion can have.

    Raises:
        UserError: names the first field that does not fit.
    """
    for name in ("common", "d_model", "heads"):
        if getattr(config, name) < 1:
            raise UserError(f"fusion.{name} is {getattr(config, name)}; it must be 1 or more.")
    for name in ("dropout", "attention_dropout", "stochastic_depth"):
        if not 0 <= getattr(config, name) < 1:
            raise UserError(f"fusion.{name} is {getattr(config, name)}; it must be from 0 to below 1.")
    if not 0 <= config.hidden <= 0.5:
        raise UserError(f"fusion.modality_dropout is {config.hidden}; it must be from 0 to 0.5, for either modality.")
    if config.d_model % config.heads:
        raise UserError(f"fusion.d_model is {config.d_model}; it must be a multiple of fusion.heads ({config.heads}).")
    if config.video_blocks is not None and not 0 <= config.video_blocks <= STAGES:
        raise UserError(f"fusion.video_blocks is {config.video_blocks}; it must be from 0 to {STAGES}.")
    if config.audio == "wavlm":
        layers = 0 if encoder is None else encoder.num_hidden_layers
        if encoder is None or encoder.model_type != "wavlm":
            found = "no encoder" if encoder is None else encoder.model_type
            raise UserError(f"fusion.audio is wavlm, but the checkpoint holds {found}; give a WavLM checkpoint.")
        if config.audio_layers is not None and not 0 <= config.audio_layers <= layers:
            raise UserError(f"fusion.audio_layers is {config.audio_layers}; it must be from 0 to {layers}.")
    elif config.audio_layers not in (None, 0):
        raise UserError(
            f"fusion.audio_layers is {config.audio_layers}, but {config.audio} is trained as a whole or, with 0, not; "
            "give 0, or leave it out."
        )


def first_stage(config: FusionConfig) -> FusionConfig:
    """Return the fusion with both encoders frozen, whose heads alone are trained."""
    return replace(config, audio_layers=0, video_blocks=0)


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
