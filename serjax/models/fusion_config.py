"""Checks of a fusion's configuration, and what follows from it."""

from dataclasses import replace

from serjax.audio_visual import FusionConfig
from serjax.config import ModelConfig
from serjax.errors import UserError
from serjax.models.encoder_config import EncoderConfig
from serjax.models.resnet import STAGES


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
