"""Which parameters of a `FusionModel` a stage trains, and at which of four rates, as functions of their paths."""

from typing import Literal

from serjax.models import speech as classifier
from serjax.models.config import ModelConfig
from serjax.models.encoders.config import EncoderConfig
from serjax.models.fusion.config import FusionConfig, trunk_model
from serjax.models.networks.resnet import STAGES

Path = tuple[str | int, ...]
"""Where a parameter stands in the model's state, such as ("video", "resnet", "layer4", 0, "conv1", "kernel")."""
Group = Literal["head", "audio", "video", "trunk"]

GROUPS: dict[Group, str] = {
    "trunk": r"audio\.trunk\..*",
    "head": r"fusion\..*|audio\.head\..*|audio\.network\.fc2\..*|video\.fc\..*",
    "audio": r"audio\.(?!trunk\.|head\.|network\.fc2\.).*",
    "video": r"video\.(?!fc\.).*",
}
"""Regular expressions of parameters' names; one matches each in full.

head: the fusion, and the last layers of the branches; audio: a network on spectrograms; video: the ResNet; trunk:
WavLM.
"""


def is_frozen(path: Path, config: FusionConfig, encoder: EncoderConfig | None = None) -> bool:
    """Say whether training leaves a parameter or a statistic alone.

    The last layers of both branches are always trained, and standardisation is every fold's own. Without encoders
    (`first_stage`) that leaves them and the fusion; with `audio_layers=2, video_blocks=1` WavLM's last two layers and
    the ResNet's last stage come in addition.

    Args:
        path: Of what the model's state holds.
        config: The fusion.
        encoder: WavLM's layout, which a fusion with it cannot do without.
    """
    match path:
        case ("banks", *_):
            return True
        case ("audio", *rest) if config.audio == "wavlm":
            assert encoder is not None
            return classifier.is_frozen(tuple(rest), trunk_model(config, ModelConfig(), encoder), encoder)
        case ("audio", "network", part, *_):
            return config.audio_layers == 0 and part != "fc2"
        case ("video", "resnet", part, *_) if config.video_blocks is not None:
            return part not in {f"layer{STAGES - block}" for block in range(config.video_blocks)}
    return False


def is_idle(path: Path, config: FusionConfig) -> bool:
    """Say whether nothing reads a parameter, which is there because the original's files and counts have it."""
    conv = config.audio_path == "conv"
    match config.kind, path:
        case "late", _:
            return False
        case (_, ("video", "fc", *_) | ("audio", "head", *_) | ("audio", "network", "fc2", *_)):
            return True
        case "xattn", ("audio", "network", *_):
            return conv
        case "xattn", ("fusion", "audio_conv" | "audio_in", *_):
            return not conv
    return False


def rate_groups(config: FusionConfig) -> tuple[tuple[str, float], ...]:
    """Return `optimizer.groups`: the groups whose rate is not the others', with what it is multiplied by."""
    factors: dict[Group, float] = {
        "head": config.head_rate,
        "audio": config.audio_rate,
        "video": config.video_rate,
        "trunk": config.trunk_rate,
    }
    return tuple((GROUPS[name], factor) for name, factor in factors.items() if factor != 1)
