"""Layout of speech encoders: Hugging Face's config.json, as far as it decides what is computed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import prod
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import numpy as np
import pydantic

from serjax.models.encoders.families import FAMILIES, EncoderFamily, foreign_keys
from serjax.runtime.constraints import Count, Layers, Rate, Share, Width
from serjax.runtime.errors import UserError, brief

if TYPE_CHECKING:
    import jax

Size = Literal["tiny", "small", "base", "large"]
Activation = Literal["gelu", "gelu_new", "relu", "silu"]
Length = TypeVar("Length", "int", "jax.Array", "np.ndarray[Any, Any]")


_LONGEST = 60 * 16_000
"""Samples of a frame."""
Convolutions = Annotated[tuple[Width, ...], pydantic.Field(max_length=32)]


@dataclass(frozen=True)
class EncoderConfig:
    """Layout of an encoder.

    Names, meanings and defaults are those of `HubertConfig`, `Wav2Vec2Config`, `WavLMConfig` and so on in transformers
    (which agree on them), so that a published config.json needs no translation.
    """

    model_type: EncoderFamily = "hubert"
    hidden_size: Width = 768
    num_hidden_layers: Layers = 12
    num_attention_heads: Width = 12
    intermediate_size: Width = 3072
    hidden_act: Activation = "gelu"
    hidden_dropout: Rate = 0.1
    activation_dropout: Rate = 0.1
    attention_dropout: Rate = 0.1
    feat_proj_layer_norm: bool = True
    feat_proj_dropout: Rate = 0.0
    final_dropout: Rate = 0.1
    layerdrop: Rate = 0.1
    layer_norm_eps: float = 1e-5
    feat_extract_norm: Literal["group", "layer"] = "group"
    feat_extract_activation: Activation = "gelu"
    conv_dim: Convolutions = (512, 512, 512, 512, 512, 512, 512)
    conv_stride: Convolutions = (5, 2, 2, 2, 2, 2, 2)
    conv_kernel: Convolutions = (10, 3, 3, 3, 3, 2, 2)
    conv_bias: bool = False
    num_conv_pos_embeddings: Width = 128
    num_conv_pos_embedding_groups: Width = 16
    do_stable_layer_norm: bool = False
    apply_spec_augment: bool = True
    mask_time_prob: Share = 0.05
    mask_time_length: Width = 10
    mask_time_min_masks: Count = 2
    mask_feature_prob: Share = 0.0
    mask_feature_length: Width = 10
    mask_feature_min_masks: Count = 0
    num_buckets: Annotated[int, pydantic.Field(ge=4, le=1 << 17)] = 320
    max_bucket_distance: Width = 800

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a config.json holds them (lists for tuples)."""
        values = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        return {key: value for key, value in values.items() if key not in foreign_keys(self.model_type)}


OWN = "serjax_"
"""Stands before the model_type of an encoder whose head transformers does not have, so that its auto classes refuse the
directory: with a model_type that they know they would put a random head on the encoder."""

_ADAPTER = pydantic.TypeAdapter(EncoderConfig)
_NAMES = {field.name for field in fields(EncoderConfig)}
# Keys of the same families that would change what is computed, with the one value that serjax computes.
_ABSENT = {"add_adapter": False, "adapter_attn_dim": None, "conv_pos_batch_norm": False}


def from_dict(mapping: Mapping[str, Any], source: str) -> EncoderConfig:
    """Read a config.json's object; keys that do not bear on the encoder are ignored.

    Args:
        mapping: The parsed JSON object.
        source: What to call it in a message, such as the file's path.

    Raises:
        UserError: a value is of the wrong kind, or asks for something that serjax does not compute.
    """
    for key, value in _ABSENT.items():
        if mapping.get(key, value) != value:
            raise UserError(
                f"{source}: {key} is {brief(repr(mapping[key]))}, which serjax does not compute; give a checkpoint "
                "without it."
            )
    model_type = mapping.get("model_type")
    if isinstance(model_type, str):
        model_type = model_type.removeprefix(OWN)
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        found = "missing" if "model_type" not in mapping else repr(model_type)
        raise UserError(f"{source}: model_type is {found}; serjax has {', '.join(FAMILIES)}; give such a checkpoint.")
    known = {key: value for key, value in mapping.items() if key in _NAMES - foreign_keys(model_type)}
    known["model_type"] = model_type
    try:
        config = _ADAPTER.validate_python(known)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        raise UserError(
            f"{source}: {key} is {brief(repr(known[key]))}, which serjax cannot use ({first['msg']})."
        ) from None
    _check(config, source)
    return config


def _check(config: EncoderConfig, source: str) -> None:
    """Raise a `UserError` where fields contradict each other."""
    width = config.hidden_size
    for key in ("num_attention_heads", "num_conv_pos_embedding_groups"):
        if width % getattr(config, key):
            raise UserError(f"{source}: {key} is {getattr(config, key)}, which does not divide hidden_size ({width}).")
    if config.max_bucket_distance <= config.num_buckets // 4:
        raise UserError(
            f"{source}: max_bucket_distance is {config.max_bucket_distance}; it must be above a quarter of num_buckets "
            f"({config.num_buckets})."
        )
    layers = len(config.conv_dim)
    if layers == 0:
        raise UserError(f"{source}: conv_dim is empty; it must have an entry for each convolution.")
    for key in ("conv_kernel", "conv_stride"):
        if len(getattr(config, key)) != layers:
            raise UserError(f"{source}: {key} has {len(getattr(config, key))} entries and conv_dim {layers}.")
    if max(receptive_field(config), frame_hop(config)) > _LONGEST:
        raise UserError(f"{source}: conv_kernel and conv_stride make frames of more than a minute; correct them.")


def preset(family: EncoderFamily, size: Size) -> EncoderConfig:
    """Return a published layout (base, large) or one of ours for training from scratch (tiny, small).

    base is facebook/hubert-base-ls960, facebook/wav2vec2-base, microsoft/wavlm-base and microsoft/unispeech-sat-base;
    large is facebook/hubert-large-ll60k, facebook/wav2vec2-large-xlsr-53, microsoft/wavlm-large,
    microsoft/unispeech-large-1500h-cv and microsoft/unispeech-sat-large. tiny learns from some hundred clips, small is
    a size to pretrain on a desk.
    """
    layer_norm: dict[str, Any] = {"feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True}
    sizes: dict[str, dict[str, Any]] = {
        "tiny": {
            **layer_norm,
            "hidden_size": 128,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "intermediate_size": 256,
            # Three convolutions that see and step as far as the published seven, at a fifth of their time.
            "conv_dim": (64,) * 3,
            "conv_kernel": (20, 15, 4),
            "conv_stride": (10, 8, 4),
            "num_conv_pos_embeddings": 32,
            "num_conv_pos_embedding_groups": 4,
            "layerdrop": 0.0,
        },
        "small": {
            **layer_norm,
            "hidden_size": 256,
            "num_hidden_layers": 6,
            "num_attention_heads": 4,
            "intermediate_size": 1024,
            # Narrow where frames are many, as in SEW (Wu et al., 2021): a sixth of the products of seven times 256.
            "conv_dim": (64, 64, 128, 128, 256, 256, 256),
            "num_conv_pos_embeddings": 64,
            "layerdrop": 0.05,
        },
        "base": {"feat_proj_dropout": 0.1},
        "large": {
            **layer_norm,
            "hidden_size": 1024,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "intermediate_size": 4096,
            "feat_proj_dropout": 0.1,
            **FAMILIES[family].large,
        },
    }
    return EncoderConfig(model_type=family, **sizes[size])


def receptive_field(config: EncoderConfig) -> int:
    """Return how many samples one frame sees, which is the shortest clip that gives a frame (400 as published)."""
    field, hop = 1, 1
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        field, hop = field + (kernel - 1) * hop, hop * stride
    return field


def frame_hop(config: EncoderConfig) -> int:
    """Return the samples from one frame to the next (320 as published, 20 ms)."""
    return prod(config.conv_stride)


def frames(config: EncoderConfig, samples: Length, layers: int | None = None) -> Length:
    """Return how many frames the convolutions make of so many samples; 0 for less than the receptive field.

    Args:
        config: The encoder.
        samples: A number, or an integer array of any shape.
        layers: Count only the first `layers` convolutions; by default all.
    """
    for kernel, stride in list(zip(config.conv_kernel, config.conv_stride, strict=True))[:layers]:
        samples = (samples - kernel) // stride + 1
    # An array of either kind has this method, and jax is not imported for it.
    return max(samples, 0) if isinstance(samples, int) else samples.clip(0)
