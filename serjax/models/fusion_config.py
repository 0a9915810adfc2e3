"""Checks of a fusion's configuration, and what follows from it."""

from dataclasses import replace

from serjax.audio_visual import FusionConfig
from serjax.config import ModelConfig
from serjax.errors import UserError
from serjax.models.encoder_config import EncoderConfig
from serjax.models.resnet import STAGES


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
